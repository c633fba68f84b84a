import numpy as np
import pytest

import metastrata as ms


def test_the_ends_are_the_common_and_the_separate_model(efm_fit: ms.Fit) -> None:
    table = ms.sweep_omega(efm_fit, [0, 1.0, np.inf]).set_index(["omega", "quantity", "stratum"])
    priors = {name: efm_fit.model.priors[name] for name in ("mu", "tau")}
    common = ms.fit(ms.Model(mean="common", priors=priors), efm_fit.effects, engine="exact", draws=100)
    for stratum in efm_fit.design.strata:
        assert table.loc[(0.0, "mu_stratum", stratum), "mean"] == pytest.approx(common.marginal("mu").mean, abs=1e-4)
    # separate strata with a flat prior of their means: exact integration with uniform mu, published for each design
    separate = {"rct": -0.375, "cohort": -1.261, "before_after": -1.938}
    for stratum, mean in separate.items():
        assert table.loc[(np.inf, "mu_stratum", stratum), "mean"] == pytest.approx(mean, abs=0.05)
    assert (np.inf, "mu", "") not in table.index


def test_pooling_falls_from_one_to_nothing(efm_fit: ms.Fit) -> None:
    table = ms.sweep_omega(efm_fit)
    pooling = table.drop_duplicates("omega")["pooling"].to_numpy()
    assert pooling[0] == 1
    assert pooling[-1] == 0
    assert np.all(np.diff(pooling) < 0)
    assert table["omega"].iloc[0] == 0
    assert np.isinf(table["omega"].iloc[-1])


def test_a_model_without_omega_has_no_sweep(crins_fit: ms.Fit) -> None:
    with pytest.raises(ms.ModelError, match="no omega"):
        ms.sweep_omega(crins_fit)
