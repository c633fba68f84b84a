import numpy as np
import pytest

import metastrata as ms
from metastrata.model.conclusions import conclusion


class Normal:
    def __init__(self, mean: float, sd: float) -> None:
        self.mean, self.sd = mean, sd

    def cdf(self, x: float) -> np.ndarray:
        from scipy.stats import norm

        return np.asarray(norm.cdf(x, self.mean, self.sd))


POSTERIOR = {"mu": Normal(-1, 0.5), "mu_stratum[rct]": Normal(-0.75, 0.25), "contrast[rct - other]": Normal(0.2, 1)}


@pytest.mark.parametrize(
    ("text", "back", "probability"),
    [
        ("P(mu_stratum[rct] < -0.5) > 0.8", "P(mu_stratum[rct] < -0.5) > 0.8", 0.841345),
        ("P( mu_stratum[rct]<=-0.5 )>=80%", "P(mu_stratum[rct] < -0.5) > 0.8", 0.841345),
        ("P(benefit) > .95", "P(benefit) > 0.95", 0.977250),
        ("P(benefit[rct]) > 0.95", "P(benefit[rct]) > 0.95", 0.998650),
        ("P(benefit[rct] > 0.5) > 0.8", "P(benefit[rct] > 0.5) > 0.8", 0.841345),
        ("P(SMD < -0.5) > 0.8", "P(mu < -0.5) > 0.8", 0.841345),
        ("P(contrast[rct - other] > 0) < 0.9", "P(contrast[rct - other] > 0) < 0.9", 0.579260),
    ],
)
def test_read_and_printed_back(text: str, back: str, probability: float) -> None:
    found = conclusion(text)
    assert str(found) == back
    assert conclusion(str(found)) == found
    assert found.probability(POSTERIOR, "lower") == pytest.approx(probability, abs=1e-6)


def test_a_benefit_follows_the_direction_of_the_endpoint() -> None:
    found = conclusion("P(benefit > 0.5) > 0.9")
    assert found.probability({"mu": Normal(0.5, 1)}, "higher") == pytest.approx(0.5)
    assert found.probability({"mu": Normal(-0.5, 1)}, "lower") == pytest.approx(0.5)
    with pytest.raises(ms.InputError, match="direction"):
        found.probability(POSTERIOR, None)


def test_a_conclusion_stands_beyond_its_level() -> None:
    assert conclusion("P(mu < 0) > 0.9").margin(0.95) == pytest.approx(0.05)
    assert conclusion("P(mu < 0) < 0.9").margin(0.95) == pytest.approx(-0.05)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mu < 0", "cannot read the conclusion"),
        (7, "cannot read the conclusion"),
        ("P(omga < 1) > 0.9", "did you mean 'omega'"),
        ("P(mu_stratum < 0) > 0.9", "say which mu_stratum"),
        ("P(mu[rct] < 0) > 0.9", r"mu_stratum\[rct\]"),
        ("P(mu) > 0.9", "below or above what"),
        ("P(benefit < -0.5) > 0.9", "larger than a size"),
        ("P(benefit) > 95", "between 0 and 1"),
        ("P(mu < 0) > 0", "between 0 and 1"),
        ("P(mu < 1e999) > 0.5", "finite"),
    ],
)
def test_what_is_no_conclusion(text: object, says: str) -> None:
    with pytest.raises(ms.InputError, match=says):
        conclusion(text)  # type: ignore[arg-type]


def test_a_quantity_the_model_does_not_have() -> None:
    with pytest.raises(ms.InputError, match="omega"):
        conclusion("P(omega < 1) > 0.5").probability(POSTERIOR)
