"""What the browser tests need: Chromium of the system, three reports, and two tools from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import metastrata as ms

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "browser-tools"
NPM = {"axe-core": "4.14.1", "html-validate": "8.29.0"}
PLANS = sorted(path.stem for path in (ROOT / "models").glob("*.toml") if path.stem in ("sle_msc", "efm", "kalaian1996"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of the plans, made once."""
    made = {}
    for name in PLANS:
        out = tmp_path_factory.mktemp("reports") / name
        ms.run(ROOT / "models" / f"{name}.toml", out, engine="exact", draws=200)
        made[name] = out
    return made


@pytest.fixture(params=PLANS)
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    """One run folder after the other."""
    return folders[request.param]


@pytest.fixture
def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The system's Chromium; nothing is downloaded."""
    from playwright.sync_api import sync_playwright

    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
    )
    assert path, "the browser tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tools() -> Path:
    """axe-core and html-validate, installed once into build/ (which git ignores)."""
    if not all((TOOLS / "node_modules" / name).is_dir() for name in NPM):
        assert shutil.which("npm"), "the accessibility and HTML checks need npm: apt-get install npm"
        TOOLS.mkdir(parents=True, exist_ok=True)
        names = [f"{name}@{version}" for name, version in NPM.items()]
        command = ["npm", "install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix", str(TOOLS), *names]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    return TOOLS / "node_modules"
