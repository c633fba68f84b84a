"""Posteriors that others have published or computed by other means: what the exact engine is held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.evidence.effects import Effects
from metastrata.model.model import Model

if TYPE_CHECKING:
    from metastrata.inference.exact import ExactPosterior

CRINS = "Crins 2014; Roever 2020, J Stat Softw 93(6)"
SCHOOLS = "Rubin 1981; bayesmeta vignette and an independent quadrature"
EFM = "Sutton & Abrams 2001, Welton 2012 ch. 11; independent quadrature, confirmed by NUTS"
NINE = "nine studies, two strata; 128^3 nodes, confirmed by 400,000 NUTS draws"


@dataclass(frozen=True)
class Reference:
    """One number of a posterior.

    Attributes
    ----------
    quantity : str
        As in `ExactPosterior.marginals`; "log evidence" for the log marginal likelihood.
    statistic : str
        "mean", "sd", a probability for a quantile such as "0.5", or "P(<0)".
    value : float
    tolerance : float
        Half a unit of the last digit given, a little more where the source is rounded twice.
    """

    quantity: str
    statistic: str
    value: float
    tolerance: float


@dataclass(frozen=True)
class Case:
    """A data set with a model, and what is known of its posterior."""

    name: str
    source: str
    effects: Effects
    model: Model
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Compared:
    """A reference number beside ours."""

    case: Case
    reference: Reference
    ours: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the digits of the reference."""
        return abs(self.ours - self.reference.value) <= self.reference.tolerance


def compare_references() -> Iterator[Compared]:
    """Solve every case by the exact engine and set each number beside its reference."""
    from metastrata.inference.design import arrange
    from metastrata.inference.exact import solve

    for case in cases():
        solved = solve(arrange(case.model, case.effects))
        for reference in case.references:
            yield Compared(case, reference, _ours(solved, reference))


def _ours(solved: ExactPosterior, reference: Reference) -> float:
    if reference.quantity == "log evidence":
        return solved.log_evidence
    marginal = solved[reference.quantity]
    match reference.statistic:
        case "mean":
            return marginal.mean
        case "sd":
            return marginal.sd
        case "P(<0)":
            return float(marginal.cdf(0.0))
        case probability:
            return float(marginal.quantile(float(probability)))


def cases() -> tuple[Case, ...]:
    """The cases, each with its source."""
    return (_crins(), _schools(), _efm(), _nine())


def _references(tolerance: float, **numbers: dict[str, float]) -> tuple[Reference, ...]:
    return tuple(
        Reference(quantity.replace("__", "[") + ("]" if "__" in quantity else ""), statistic, value, tolerance)
        for quantity, own in numbers.items()
        for statistic, value in own.items()
    )


def _crins() -> Case:
    y = [-2.3097025607629096, -0.4595323293784402, -2.3025850929940455, -1.7578579175523736, -1.2584609896100056,
         -2.41789593950504]  # fmt: skip
    se = [0.599476299648217, 0.5563955637779769, 0.8803408430829504, 0.45586850291945263, 0.6419961767090914,
          1.5288107461874858]  # fmt: skip
    names = ["Heffron 2003", "Gibelli 2004", "Schuller 2005", "Ganschow 2005", "Spada 2006", "Gras 2008"]
    model = Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    published = _references(
        6e-4, mu={"mean": -1.5764, "sd": 0.3295}, tau__all={"mean": 0.3811, "0.5": 0.3445, "sd": 0.2594}
    )
    # bayesmeta's study effects are good to about 1e-3: its grid of tau is as coarse as that.
    theta = (
        Reference("theta[Heffron 2003]", "mean", -1.778, 1e-3),
        Reference("theta[Heffron 2003]", "sd", 0.423, 1e-3),
        Reference("theta[Gibelli 2004]", "mean", -1.234, 1e-3),
        Reference("theta[Gibelli 2004]", "sd", 0.449, 1e-3),
    )
    evidence = Reference("log evidence", "", -9.6328, 6e-5)
    return Case("Crins", CRINS, Effects.from_estimates(y, se, names), model, (*published, *theta, evidence))


def _schools() -> Case:
    y = [28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16]
    se = [14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6]
    model = Model(mean="common", priors={"mu": "normal(0, 50)", "tau": "half_cauchy(25)"})
    references = _references(
        6e-4,
        mu={"mean": 7.986, "sd": 4.9956},
        tau__all={"mean": 5.8845, "0.5": 4.7585, "sd": 4.8699, "0.025": 0.220, "0.975": 18.053},
    )
    below = Reference("mu", "P(<0)", 1 - 0.94877, 1e-5)
    return Case("Eight schools", SCHOOLS, Effects.from_estimates(y, se), model, (*references, below))


def _efm() -> Case:
    groups = {
        "rct": ([-10.51552, -2.028398, 4.115085, 6.479482, 0.0078609, 0, 2.247191, -5.817028, -3.984064],
                [4.762193, 2.871006, 7.142432, 5.032322, 0.8079891, 8.058098, 3.1075, 44.53912, 5.587013]),
        "cohort": ([-1.41, -2.19, -4.34, -2.84, -2.53, -0.23, -0.46], [1.433, 4.71, 1.914, 1.052, 3.081, 0.232, 0.123]),
        "before_after": (
            [-4.036327, 2.304048, -0.6941801, -3.186446, -7.431126, -1.458522, -4.036984, -1.613824, -1.461775,
             -0.1177738],
            [2.242277, 3.579612, 0.6056279, 0.9381518, 2.121014, 0.5100973, 1.072718, 0.6358061, 0.507642, 0.1981163]),
    }  # fmt: skip
    y, se = ([v for part in groups.values() for v in part[i]] for i in (0, 1))
    stratum = [name for name, part in groups.items() for _ in part[0]]
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
    references = _references(
        6e-4,
        mu={"mean": -1.292, "sd": 1.310},
        omega={"0.5": 1.034, "mean": 1.512, "0.025": 0.048},
        mu_stratum__rct={"mean": -0.936, "sd": 1.087},
        mu_stratum__cohort={"mean": -1.277, "sd": 0.717},
        mu_stratum__before_after={"mean": -1.716, "sd": 0.615},
    )
    return Case(
        "Fetal monitoring", EFM, Effects.from_estimates(y, se, stratum=stratum), Model(priors=priors), references
    )


def _nine() -> Case:
    y = [0.45, 0.61, 0.22, 0.80, 0.35, 0.15, 0.05, 0.31, -0.10]
    se = [v**0.5 for v in (0.04, 0.09, 0.06, 0.12, 0.05, 0.03, 0.08, 0.05, 0.10)]
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"}
    references = _references(
        2e-6,
        mu={"mean": 0.283033},
        mu_stratum__a={"mean": 0.377091},
        mu_stratum__b={"mean": 0.207712},
        tau__a={"mean": 0.168245},
        tau__b={"mean": 0.180546},
        omega={"mean": 0.216104},
    )
    others = (Reference("log evidence", "", -3.459974, 2e-6), Reference("mu", "P(<0)", 1 - 0.92497, 1e-5),
              Reference("contrast[a - b]", "P(<0)", 1 - 0.82932, 1e-5))  # fmt: skip
    effects = Effects.from_estimates(y, se, stratum=["a"] * 5 + ["b"] * 4)
    return Case("Nine studies", NINE, effects, Model(priors=priors), (*references, *others))
