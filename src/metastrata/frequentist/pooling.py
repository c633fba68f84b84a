"""One pooled effect, the classical way."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from numpy.typing import ArrayLike

from metastrata.errors import InputError
from metastrata.frequentist.batch import Pools, pool_rows
from metastrata.frequentist.checks import checked
from metastrata.frequentist.heterogeneity import method_name
from metastrata.frequentist.intervals import check_level, interval_name, prediction_name
from metastrata.frequentist.moments import Floats

SCALARS = (
    "estimate", "se", "lower", "upper", "p_value", "statistic", "df", "tau2", "i2", "h2", "q", "q_p",
    "prediction_lower", "prediction_upper",
)  # fmt: skip


@dataclass(frozen=True)
class Classical:
    """The frequentist answer of one meta-analysis.

    Attributes
    ----------
    estimate, se, lower, upper, p_value : float
        Pooled effect, its standard error, confidence interval and two-sided test of no effect.
    statistic, df : float
        The test statistic and its degrees of freedom (infinity: normal).
    tau2 : float
        Variance between studies; 0 by assumption for method "FE".
    i2, h2 : float
        Inconsistency, I2 in per cent.
    q, q_df, q_p : float, int, float
        Cochran's test of heterogeneity.
    prediction_lower, prediction_upper : float
        Where the effect of a new study lies; NaN with a common effect.
    weights : ndarray, shape (study,)
        Weight of each study in the estimate, in per cent, in the order given.
    k : int
        Number of studies.
    method, interval, prediction : str
        What was used: `method` is "given" if tau2 was, and `interval` is "Wald" where HKSJ has no meaning (common
        effect, one study).
    level : float
        Of both intervals, in per cent.
    convergence : str
        "" or why the estimator failed ("not estimable: ..."); what depends on it is NaN.
    note : str
        What deserves a remark, among it the reason for every NaN.
    studies : tuple of str
        Names, if they were given.
    """

    estimate: float
    se: float
    lower: float
    upper: float
    p_value: float
    statistic: float
    df: float
    tau2: float
    i2: float
    h2: float
    q: float
    q_p: float
    prediction_lower: float
    prediction_upper: float
    q_df: int
    k: int
    method: str
    interval: str
    prediction: str
    level: float
    weights: Floats = field(repr=False)
    convergence: str = ""
    note: str = ""
    studies: tuple[str, ...] = field(default=(), repr=False)

    @property
    def tau(self) -> float:
        """Standard deviation between studies."""
        return math.sqrt(self.tau2)


def pool(
    y: ArrayLike,
    variance: ArrayLike,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    tau2: float | None = None,
    studies: tuple[str, ...] = (),
) -> Classical:
    """Pool estimates with known variances.

    Parameters
    ----------
    y, variance : array_like, shape (study,)
        Estimates and their variances.
    method : {"REML", "ML", "DL", "DL2", "PM", "PMM", "EB", "HE", "HS", "HSk", "SJ", "FE"}
        Estimator of tau2; "FE" is a common effect, weighted by inverse variances.
    interval : {"HKSJ", "HKSJ_adhoc", "Wald", "t"}
        Hartung-Knapp-Sidik-Jonkman, the same but never with a smaller variance than Wald's, normal, or Wald's variance
        with t of k - 1 degrees of freedom. With "FE", HKSJ has no meaning and Wald is used.
    level : float
        In per cent.
    prediction : {"default", "riley", "HKSJ", "simple"}
        Distribution of the prediction interval: normal if the interval is Wald and t(k - 1) otherwise (as metafor);
        t(k - 2) (Riley 2011); t(k - 1) with the HKSJ variance whatever the interval; or ``estimate +- z tau``.
    tau2 : float, optional
        Take this instead of estimating it; `method` is then ignored.
    studies : tuple of str, optional
        Names.

    Returns
    -------
    Classical

    Raises
    ------
    InputError
        If there is no study, lengths differ, a number is not finite, a variance is not positive, or a word is unknown.
    """
    samples = checked(y, variance)
    check_level(level)
    if tau2 is not None and not (math.isfinite(tau2) and tau2 >= 0):
        raise InputError(f"tau2 = {tau2}: it must be finite and not negative")
    asked = (method_name(method) if tau2 is None else "given", interval_name(interval), prediction_name(prediction))
    row = pool_rows(samples, *asked[:2], level, asked[2], tau2)
    return _one(row, asked, level, studies)


def _one(row: Pools, asked: tuple[str, str, str], level: float, studies: tuple[str, ...]) -> Classical:
    """The only row, with remarks."""
    method, interval, prediction = asked
    k = int(row.k[0])
    numbers = {name: float(getattr(row, name)[0]) for name in SCALARS}
    convergence = "" if row.converged[0] else f"not estimable: the {method} estimate of tau2 did not converge"
    used = "Wald" if k == 1 or (method == "FE" and interval.startswith("HKSJ")) else interval
    return Classical(
        **numbers,
        q_df=k - 1, k=k, method=method, interval=used, prediction=prediction, level=level, weights=row.weights[0],
        convergence=convergence, note="; ".join(_remarks(numbers, convergence, k, method, interval)), studies=studies,
    )  # fmt: skip


def _remarks(numbers: dict[str, float], convergence: str, k: int, method: str, interval: str) -> list[str]:
    if convergence:
        return [convergence]
    if k == 1:
        return ["one study: its own estimate and Wald interval; heterogeneity and prediction are not estimable"]
    if method == "FE":
        remarks = ["a common effect has no prediction interval"]
        if interval.startswith("HKSJ"):
            remarks.insert(0, "HKSJ has no meaning with a common effect: Wald interval")
        return remarks
    remarks = []
    if math.isnan(numbers["prediction_lower"]):
        remarks.append("prediction interval not estimable: t with k - 2 degrees of freedom needs 3 studies")
    if interval == "HKSJ" and numbers["q"] < 1e-20:
        remarks.append("the estimates are all the same, so the HKSJ variance is zero: use HKSJ_adhoc")
    return remarks
