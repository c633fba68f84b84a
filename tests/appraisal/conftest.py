from __future__ import annotations

import pytest

import metastrata as ms

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


@pytest.fixture(scope="session")
def lupus() -> ms.Effects:
    """SLEDAI: two trials and two before/after studies, derived from the table."""
    from metastrata.model.intake import require

    return require(ms.read_plan("models/sle_msc.toml")).endpoint("sledai")


@pytest.fixture(scope="session")
def lupus_fit(lupus: ms.Effects) -> ms.Fit:
    return ms.fit(ms.Model(priors=PRIORS), lupus, engine="exact", seed=1, draws=2000)


@pytest.fixture(scope="session")
def one_stratum() -> ms.Fit:
    """Three studies, one mean."""
    effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    return ms.fit(model, effects, engine="exact", seed=1, draws=2000)
