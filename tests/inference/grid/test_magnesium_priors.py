"""Six priors of tau on one small data set: MultiBUGS, example Magnesium (binomial, risks and mu uniform)."""

import math

import numpy as np
import pandas as pd
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve

T, NT = [1, 9, 2, 1, 10, 1, 1, 90], [40, 135, 200, 48, 150, 59, 25, 1159]
C, NC = [2, 23, 7, 1, 8, 9, 3, 118], [36, 135, 200, 46, 148, 56, 23, 1157]
# The squared standard errors and their harmonic mean s0^2, as the example has them.
S2 = sum(1 / (np.array(v) + 0.5) for v in (T, np.subtract(NT, T), C, np.subtract(NC, C)))
S0_2 = 1 / float(np.mean(1 / S2))

# prior of tau; OR and tau: medians by two million iterations of MultiBUGS, and by exact quadrature
CASES = [
    ("inverse_gamma(0.001, 0.001, on='tau2')", (0.4714, 0.467), (0.4709, 0.468)),  # gamma on the precision
    ("uniform(0, 50, on='tau2')", (0.3827, 0.981), (0.3829, 0.981)),
    ("uniform(0, 50)", (0.4172, 0.7214), (0.4171, 0.723)),
    (f"lomax(1, {S0_2}, on='tau2')", (0.4639, 0.4385), (0.4635, 0.439)),  # uniform shrinkage
    (f"lomax(1, {math.sqrt(S0_2)})", (0.4736, 0.4454), (0.4735, 0.446)),  # DuMouchel
    # half-normal on tau2, of precision pnorm(0.75) / s0^2
    (f"half_normal({math.sqrt(S0_2 / 0.7733726476)}, on='tau2')", (0.4339, 0.558), (0.4343, 0.558)),
]


@pytest.mark.parametrize(("tau", "sampled", "exact"), CASES)
def test_six_priors(tau: str, sampled: tuple[float, float], exact: tuple[float, float]) -> None:
    frame = pd.DataFrame({"study": [f"s{i}" for i in range(8)], "design": "rct", "endpoint": "death",
                          "events_treated": T, "n_treated": NT, "events_control": C, "n_control": NC})  # fmt: skip
    priors = {"mu": "uniform(-10, 10)", "tau": tau, "baseline": "uniform(0, 1)"}
    model = ms.Model(mean="common", heterogeneity="common", priors=priors, likelihood="exact")
    found = solve(arrange(model, ms.effect_sizes(frame, "OR")), tolerance=1e-4)
    ratio, tau_median = math.exp(float(found["mu"].quantile(0.5))), float(found["tau[rct]"].quantile(0.5))
    assert found.error < 1e-4
    assert (ratio, tau_median) == pytest.approx(exact, abs=1.1e-3)
    assert (ratio, tau_median) == pytest.approx(sampled, abs=3e-3)
