"""How a row is computed: the options asked for, the formulas there are, and the recipe one row gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from metastrata.errors import Fault
from metastrata.evidence import measures
from metastrata.evidence.measures_counts import OR_VARIANCES, PLO_VARIANCES, RD_VARIANCES
from metastrata.evidence.measures_paired import (
    PPC_VARIANCES,
    ROMC_VARIANCES,
    SMCC_VARIANCES,
    SMCR_VARIANCES,
    SMCRH_VARIANCES,
    SMCRP_VARIANCES,
)
from metastrata.evidence.measures_two_groups import (
    MD_VARIANCES,
    ROM_VARIANCES,
    SMD1_VARIANCES,
    SMD_VARIANCES,
    SMDH_VARIANCES,
)
from metastrata.evidence.studies import Row

Origin = Literal["reported", "derived", "imputed", "assumed"]
ORIGINS: tuple[Origin, ...] = ("reported", "derived", "imputed", "assumed")
ChangeScores = Literal["refuse", "convert", "as_reported"]
BeforeAfter = Literal["SMCR", "SMCRH", "SMCRP"]
SharedControl = Literal["refuse", "split", "combine", "covariance"]
OnMissing = Literal["refuse", "drop"]
Counts = Literal["refuse", "convert"]
ZeroCells = Literal["only0", "if0all", "all", "none"]
Timepoint = Literal["refuse", "first", "last", "all"] | float
Scale = Literal["raw", "change", "other"]
INDEPENDENT, REVMAN = "independent", "RevMan"

ARMS = ("mean_treated", "sd_treated", "mean_control", "sd_control")
ARM_SIZES = ("n_treated", "n_control")
BEFORE_AFTER = ("mean_before", "sd_before", "mean_after", "sd_after")


@dataclass(frozen=True)
class Options:
    """How effects are derived, and which rows are wanted.

    Attributes
    ----------
    measure : str
        Code of the effect measure.
    r : float, "independent" or None
        Pre-post correlation for before/after studies that print none; "independent" treats before and after as two
        independent groups, as reviews made with RevMan do.
    change_scores : {"refuse", "convert", "as_reported"}
        What to do with effects standardised by the SD of change when they meet effects standardised by a raw SD.
    units : mapping
        Unit of each endpoint and the factors that convert other units to it.
    variance : str
        Type of variance: "LS", or another that every formula used has; "RevMan" is for differences of two groups, and
        leaves other formulas at "LS", as RevMan takes them ready-made.
    before_after : {"SMCR", "SMCRH", "SMCRP"}
        How before/after studies are standardised.
    timepoint : {"refuse", "first", "last", "all"} or float
        Which row of a study with several time points is taken; a number takes the one nearest to so many months, "all"
        keeps every visit, for an analysis of the course over time.
    shared_control : {"refuse", "split", "combine", "covariance"}
        What to do with rows that share a control arm: divide its patients among them, take the treated arms as one, or
        keep the effects with their covariance.
    zero_cells : {"only0", "if0all", "all", "none"}
        To which tables of counts 1/2 is added.
    on_missing : {"refuse", "drop"}
        What to do with rows whose effect cannot be derived because a number is missing: "drop" lists them among the
        excluded.
    counts : {"refuse", "convert"}
        Whether events of two arms may enter as an SMD: log odds ratio times sqrt(3) / pi.
    cluster : str
        Column that says which effects are of the same patients, "" if none are.
    rho : float
        Assumed correlation of the sampling errors of two effects of one cluster, on one endpoint.
    """

    measure: str = "SMD"
    r: float | Literal["independent"] | None = None
    change_scores: ChangeScores = "refuse"
    units: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    variance: str = "LS"
    before_after: BeforeAfter = "SMCR"
    timepoint: Timepoint = "refuse"
    shared_control: SharedControl = "refuse"
    zero_cells: ZeroCells = "only0"
    on_missing: OnMissing = "refuse"
    counts: Counts = "refuse"
    cluster: str = ""
    rho: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A formula, its arguments, and how the result was come by."""

    formula: str
    arguments: tuple[float, ...]
    text: str
    origin: Origin = "derived"
    scale: float = 1.0
    metric: Scale = "raw"
    notes: tuple[Fault, ...] = ()

    def with_(self, texts: tuple[str, ...], origin: Origin, notes: tuple[Fault, ...]) -> Recipe:
        """The recipe, with what was recovered on the way to it."""
        if not texts and not notes:
            return self
        worse = max(self.origin, origin, key=ORIGINS.index)
        return replace(self, text="; ".join((self.text, *texts)), origin=worse, notes=(*self.notes, *notes))


@dataclass(frozen=True)
class Statistics:
    """What an effect was computed from: all that its exact likelihood needs.

    Attributes
    ----------
    formula : str
        A key of `FORMULAS`.
    arguments : tuple of float
        In the order of the formula.
    scale : float
        The effect is the formula's result times this: change scores put on the scale of raw scores, a unit.
    r_assumed : bool
        Whether the pre-post correlation among them is not printed but assumed.
    """

    formula: str
    arguments: tuple[float, ...]
    scale: float = 1.0
    r_assumed: bool = False


@dataclass(frozen=True)
class Metric:
    """What an effect is an effect of, so that only like is pooled with like.

    Attributes
    ----------
    estimand : str
        Difference of two groups, change in one, difference of changes, or "as reported".
    standardiser : str
        The SD it is divided by; "none" for an effect in its unit.
    scale : {"raw", "change", "other"}
        In SDs of the scores, in SDs of their change, or neither.
    months : float or None
        When it was measured.
    sign : str
        What is subtracted from what.
    """

    estimand: str = "as reported"
    standardiser: str = "as reported"
    scale: Scale = "other"
    months: float | None = None
    sign: str = "as reported"


@dataclass(frozen=True)
class Formula:
    """A formula: its function, the types of variance it has, and what its effect is."""

    function: Callable[..., measures.Estimate]
    estimand: str
    standardiser: str
    variances: tuple[str, ...] = ()


def _as_reported(y: float, se: float) -> measures.Estimate:
    return measures.arrays(y)[0], measures.arrays(se)[0] ** 2


def _ppc(function: Callable[..., measures.Estimate]) -> Callable[..., measures.Estimate]:
    def flat(*values: measures.Floats, variance: str) -> measures.Estimate:
        return function(values[:4], values[4:8], values[8], variance=variance)

    return flat


_TWO, _ONE, _DID = "difference of two groups", "change in one group", "difference of the changes of two groups"
FORMULAS: dict[str, Formula] = {
    "smd": Formula(measures.smd, _TWO, "pooled SD", SMD_VARIANCES),
    "smd_from_d": Formula(measures.smd_from_d, _TWO, "pooled SD", SMD_VARIANCES),
    "smdh": Formula(measures.smdh, _TWO, "mean of the two variances", SMDH_VARIANCES),
    "smd1": Formula(measures.smd1, _TWO, "SD of the control group", SMD1_VARIANCES),
    "smcr": Formula(measures.smcr, _ONE, "SD before", SMCR_VARIANCES),
    "smcrh": Formula(measures.smcrh, _ONE, "SD before", SMCRH_VARIANCES),
    "smcrp": Formula(measures.smcrp, _ONE, "SD pooled over before and after", SMCRP_VARIANCES),
    "smcc": Formula(measures.smcc, _ONE, "SD of the change", SMCC_VARIANCES),
    "smcc_from_d": Formula(measures.smcc_from_d, _ONE, "SD of the change", SMCC_VARIANCES),
    "ppc2": Formula(_ppc(measures.ppc2), _DID, "pooled SD before", PPC_VARIANCES),
    "smcrd": Formula(_ppc(measures.difference_of_changes), _DID, "SD before of each arm", SMCC_VARIANCES),
    "md": Formula(measures.md, _TWO, "none", MD_VARIANCES),
    "mc": Formula(measures.mc, _ONE, "none"),
    "rom": Formula(measures.rom, _TWO, "none", ROM_VARIANCES),
    "romc": Formula(measures.romc, _ONE, "none", ROMC_VARIANCES),
    "OR": Formula(measures.log_odds_ratio, _TWO, "none", OR_VARIANCES),
    "RR": Formula(measures.log_risk_ratio, _TWO, "none", OR_VARIANCES),
    "RD": Formula(measures.risk_difference, _TWO, "none", RD_VARIANCES),
    "PETO": Formula(measures.peto_odds_ratio, _TWO, "none"),
    "IRR": Formula(measures.log_rate_ratio, _TWO, "none"),
    "smd_from_counts": Formula(measures.smd_from_counts, _TWO, "SD of a logistic variable"),
    "PLO": Formula(measures.logit_proportion, "level of one group", "none", PLO_VARIANCES),
    "IRLN": Formula(measures.log_rate, "level of one group", "none"),
    "as_reported": Formula(_as_reported, "as reported", "as reported"),
}


def evaluate(name: str, columns: measures.Floats, options: Options) -> measures.Estimate:
    """Estimates and variances of rows that share a formula."""
    formula = FORMULAS[name]
    kind = options.variance if options.variance in formula.variances or options.variance != REVMAN else "LS"
    choices: dict[str, object] = {"variance": kind} if formula.variances else {}
    if name in measures.COUNT_MEASURES or name == "smd_from_counts":
        choices["to"] = options.zero_cells
    return formula.function(*columns, **choices)


def metric_of(recipe: Recipe, row: Row) -> Metric:
    """The metric of the effect a recipe gives; scores converted from change to raw are said to be in raw SDs."""
    formula = FORMULAS[recipe.formula]
    signs = {_TWO: "treated minus control", _ONE: "after minus before", _DID: "change treated minus change control"}
    standardiser = formula.standardiser
    if recipe.metric == "change":
        standardiser = "SD of the change"
    elif recipe.metric == "raw" and "put on the raw-score scale" in recipe.text:
        standardiser = "SD of the change, converted to a raw SD"
    sign = signs.get(formula.estimand, "as reported")
    return Metric(formula.estimand, standardiser, recipe.metric, row.value("timepoint_months"), sign)


def has_any(row: Row, columns: tuple[str, ...]) -> bool:
    """Whether the row holds a number in one of the columns."""
    return any(row.value(column) is not None for column in columns)


def missing(row: Row, columns: tuple[str, ...], advice: str = "") -> list[Fault]:
    """A fault for each of the columns that is empty."""
    message = "is missing; supply it" + (f", {advice}" if advice else "") + ", or leave the row out with 'no: reason'"
    return [
        replace(row.fault(f"{column} {message}", column), code="F16") for column in columns if row.value(column) is None
    ]


def values(row: Row, columns: tuple[str, ...]) -> tuple[float, ...]:
    """The numbers of the columns that hold one."""
    return tuple(value for column in columns if (value := row.value(column)) is not None)


def too_few(row: Row, df: float, who: str) -> list[Fault]:
    """Refuse fewer than 3 degrees of freedom (F19)."""
    if df >= 3:
        return []
    message = (f"{who} leave {df:g} degrees of freedom; at least 3 are needed, or the variance of a standardised "
               "effect is not finite")  # fmt: skip
    return [replace(row.fault(message), code="F19")]
