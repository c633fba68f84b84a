"""Priors PyMC does not have, sampled once: the exact engine agrees within 4 Monte Carlo standard errors."""

import metastrata as ms


def test_priors_of_every_unusual_kind_give_one_posterior_in_both_engines() -> None:
    effects = ms.Effects.from_estimates(
        [0.45, 0.61, 0.22, 0.80, 0.35, 0.15, 0.05, 0.31, -0.10],
        [0.2, 0.3, 0.245, 0.346, 0.224, 0.173, 0.283, 0.224, 0.316],
        stratum=["a"] * 5 + ["b"] * 4,
    )
    priors = {
        "mu": "truncated(student_t(4, 0, 1), lower=-0.2)",
        "tau": {
            "a": "rhodes2015(outcome='biomarker', comparison='pharmacological vs placebo', reading='sd')",
            "b": "empirical(quantiles={0.025: 0.06, 0.3: 0.25, 0.5: 0.34, 0.975: 1.9})",
        },
        "omega": "truncated(half_cauchy(0.3), upper=1)",
    }
    fit = ms.fit(ms.Model(priors=priors), effects, seed=7, draws=1500, check=True)
    assert fit.status == "reliable", fit.reasons
    assert fit.exact is not None
    assert float(fit.posterior["mu"].min()) > -0.2
    assert float(fit.posterior["omega"].max()) < 1
