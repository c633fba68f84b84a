"""The command line as its user meets it, and the lupus plan with one text replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from metastrata.commands import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def call() -> Callable[..., Result]:
    """Run a command in this process."""
    return lambda *words: CliRunner().invoke(app, list(words))


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., str]:
    """The lupus plan, or its table, with one text replaced."""

    def make(old: str, new: str, *, table: bool = False) -> str:
        plan, data = (ROOT / "models" / "sle_msc.toml").read_text(), (ROOT / "data" / "sle_msc.csv").read_text()
        if table:
            assert old in data
            data = data.replace(old, new, 1)
        else:
            assert old in plan
            plan = plan.replace(old, new, 1)
        (tmp_path / "models").mkdir()
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "sle_msc.csv").write_text(data)
        for name in ("models/sle_msc_events.toml", "data/sle_msc_events.csv"):
            (tmp_path / name).write_text((ROOT / name).read_text())
        path = tmp_path / "models" / "plan.toml"
        path.write_text(plan)
        return str(path)

    return make
