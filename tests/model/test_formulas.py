"""The closed forms of the families against SciPy's distributions."""

import math

import numpy as np
import pytest
import scipy.special
from numpy.testing import assert_allclose
from scipy import stats

from metastrata.model import special
from metastrata.model.families import FAMILIES
from metastrata.model.formulas import FORMULAS


class Folded:
    """A distribution folded at 0."""

    def __init__(self, whole):
        self.logpdf = lambda x: whole.logpdf(x) + math.log(2)
        self.cdf = lambda x: 2 * whole.cdf(x) - 1
        self.ppf = lambda q: whole.ppf((1 + q) / 2)


class Exponentiated:
    """The exponential of a distribution."""

    def __init__(self, whole):
        self.logpdf = lambda x: whole.logpdf(np.log(x)) - np.log(x)
        self.cdf = lambda x: whole.cdf(np.log(x))
        self.ppf = lambda q: np.exp(whole.ppf(q))


CASES = {
    "normal": ((-1.0, 2.0), stats.norm(-1, 2)),
    "student_t": ((4.0, 1.0, 0.5), stats.t(4, 1, 0.5)),
    "cauchy": ((1.0, 2.0), stats.cauchy(1, 2)),
    "half_normal": ((0.5,), stats.halfnorm(scale=0.5)),
    "half_cauchy": ((25.0,), stats.halfcauchy(scale=25)),
    "half_student_t": ((3.0, 2.0), Folded(stats.t(3, 0, 2))),
    "exponential": ((2.0,), stats.expon(scale=0.5)),
    "log_normal": ((-2.56, 1.74), stats.lognorm(1.74, scale=math.exp(-2.56))),
    "log_t": ((5.0, -3.44, 2.59), Exponentiated(stats.t(5, -3.44, 2.59))),
    "inverse_gamma": ((1.0, 0.15), stats.invgamma(1, scale=0.15)),
    "gamma": ((2.0, 4.0), stats.gamma(2, scale=0.25)),
    "lomax": ((3.0, 2.0), stats.lomax(3, scale=2)),
    "uniform": ((0.5, 4.0), stats.uniform(0.5, 3.5)),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_scipys(name):
    parameters, scipy = CASES[name]
    own = FORMULAS[name]
    q = np.array([1e-6, 0.025, 0.3, 0.5, 0.975, 1 - 1e-6])
    x = scipy.ppf(q)
    assert_allclose(own.ppf(q, *parameters), x, rtol=1e-9)
    assert_allclose(own.logpdf(x, *parameters), scipy.logpdf(x), rtol=1e-9, atol=1e-10)
    assert_allclose(own.cdf(x, *parameters), scipy.cdf(x), rtol=1e-9, atol=1e-14)


def test_the_normal_distribution_without_scipy():
    z = np.linspace(-37, 8, 91)
    assert_allclose(special.ndtr(z), stats.norm.cdf(z), rtol=1e-12)
    q = np.array([0.0, 1e-300, 1e-12, 0.3, 0.5, 1 - 1e-12, 1.0])
    assert_allclose(special.ndtri(q), stats.norm.ppf(q), rtol=1e-12)
    q = np.array([0.0, 1e-15, 9.9e-4, 1.01e-3, 0.5, 0.999, 1.0])
    assert_allclose(special.half_normal_quantile(q), math.sqrt(2) * scipy.special.erfinv(q), rtol=1e-12)
