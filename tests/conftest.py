"""Shared data and the few real fits of the fast tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")

import metastrata as ms

# A slow machine is no fault of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in examples are relative to the repository."""
    monkeypatch.chdir(ROOT)


def effects_of(name: str, measure: str, **choices: object) -> ms.Effects:
    return ms.effect_sizes(ms.read_studies(ROOT / "data" / f"{name}.csv"), measure, **choices)


@pytest.fixture(scope="session")
def efm_effects() -> ms.Effects:
    return effects_of("efm", "GEN")


@pytest.fixture(scope="session")
def efm_fit(efm_effects: ms.Effects) -> ms.Fit:
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
    return ms.fit(ms.Model(priors=priors), efm_effects, seed=1)


@pytest.fixture(scope="session")
def crins_effects() -> ms.Effects:
    return effects_of("crins2014", "OR")


@pytest.fixture(scope="session")
def crins_fit(crins_effects: ms.Effects) -> ms.Fit:
    model = ms.Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    return ms.fit(model, crins_effects, seed=2)
