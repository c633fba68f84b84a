"""The natural course: what arms changed, what control arms say would have changed anyway, and what is left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.natural_course import TRIALS, NaturalCourse
from metastrata.appraisal.natural_course_words import FEW, per_cent
from metastrata.evidence.arm_changes import Estimate, StudyChanges
from metastrata.plots.forest_build import Z
from metastrata.plots.forest_rows import Interval
from metastrata.plots.interval_marks import Mark
from metastrata.plots.intervals import IntervalRow, draw_intervals
from metastrata.plots.saving import describe
from metastrata.plots.style import digits_for, interval, number
from metastrata.plots.wording import equals

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = ["kind", "study", "estimate", "lower", "upper", "reported", "course", "chance"]
NAN = math.nan
TRIAL, SINGLE, COURSE = 0, 1, 2  # colours
WIDTH_OF_NAMES = 2.2
POOLED = ("as_reported", "less_course", "trials_only", "all")
# Headings, and the kinds of rows below each.
PARTS: Mapping[str, tuple[str, ...]] = {
    "Change without treatment: control arms of trials":
        ("control", "withheld", "course", "course_before_after", "course_new", "prior"),
    "Change with treatment: treated arms of trials": ("treated",),
    "Change with treatment: before/after studies, as reported": ("before_after",),
    "Effect of treatment: before/after studies, less the natural course": ("left",),
    "Effect of treatment: trials, treated less control arm": ("trial", "own"),
    "Effect of treatment, pooled": POOLED,
}  # fmt: skip
NAMES = {
    "course": "Natural course, mean",
    "course_before_after": "Of before/after studies, mean",
    "course_new": "Of a new before/after study",
    "prior": "Mean, by its prior alone",
    "as_reported": "Before/after as reported",
    "less_course": "Before/after less natural course",
    "trials_only": "Trials",
    "all": "All studies",
}
# Shape and colour of each kind.
LOOKS: Mapping[str, tuple[Mark, int | None]] = {
    "control": ("square", COURSE), "withheld": ("open square", COURSE), "course": ("lozenge", COURSE),
    "course_before_after": ("lozenge", COURSE), "course_new": ("bar", COURSE), "prior": ("dashed", COURSE),
    "treated": ("square", TRIAL), "before_after": ("square", SINGLE), "left": ("point", SINGLE),
    "trial": ("square", TRIAL), "own": ("open square", TRIAL),
    "as_reported": ("open lozenge", SINGLE), "less_course": ("lozenge", SINGLE),
    "trials_only": ("lozenge", TRIAL), "all": ("lozenge", None),
}  # fmt: skip


def natural_course_table(found: NaturalCourse) -> pd.DataFrame:
    """The numbers of `plot_natural_course`.

    Parameters
    ----------
    found : NaturalCourse

    Returns
    -------
    DataFrame
        Columns ``kind study estimate lower upper reported course chance``, a row for each mark. Changes: "control",
        "withheld" (a control arm that is known and kept from the model), "treated" and "before_after" are estimates
        with 95 % confidence intervals; "course", "course_before_after" (where it may differ) and "course_new" (a new
        before/after study) posteriors of the natural course, "prior" its mean before any data. Effects: "left" is the
        posterior of the effect in a before/after study; "trial" a trial's own difference of arms, "own" one whose
        control arm is withheld; "as_reported" and "less_course" pool before/after studies alone, "trials_only" trials
        alone (the estimate of a single one); "all" is the mean effect of the analysis. What was reported is taken
        apart: ``reported = course + chance + estimate``, chance being what the model takes for sampling error.
    """
    import pandas as pd

    rows = [_estimated("control", item, item.control) for item in found.changes.of("trial")]
    rows += [_estimated("withheld", item, item.held) for item in found.changes.items if item.held is not None]
    rows += _course(found)
    rows += [_estimated("treated", item, item.treated) for item in found.changes.of("trial")]
    single = found.changes.of("before_after")
    rows += [_estimated("before_after", item, item.treated) for item in single]
    rows += [_left(found, item) for item in single]
    rows += [_estimated("trial", item, item.contrast) for item in found.changes.items if item.kind != "before_after"]
    rows += [_estimated("own", item, item.contrast) for item in single if item.held is not None]
    return pd.DataFrame([*rows, *_pooled(found)], columns=COLUMNS)


def _estimated(kind: str, item: StudyChanges, part: Estimate | None) -> list[Any]:
    assert part is not None
    return [kind, item.study, part.y, part.y - Z * part.se, part.y + Z * part.se, NAN, NAN, NAN]


def _posterior(kind: str, marginal: Any, study: str = "") -> list[Any]:
    lower, upper = (float(q) for q in marginal.quantile([0.025, 0.975]))
    return [kind, study, float(marginal.mean), lower, upper, NAN, NAN, NAN]


def _course(found: NaturalCourse) -> list[list[Any]]:
    """The natural course, pooled: in trials, in before/after studies where it may differ, a new study's, its prior."""
    shifted = ["course_before_after"] if found.model.shifted else []
    rows = [_posterior(name, found.marginal(name)) for name in ("course", *shifted, "course_new")]
    prior = found.model.prior("course")
    mean, lower, upper = (float(q) for q in prior.ppf([0.5, 0.025, 0.975]))
    return [*rows, ["prior", "", mean, lower, upper, NAN, NAN, NAN]]


def _left(found: NaturalCourse, item: StudyChanges) -> list[Any]:
    """What is left of the change of a before/after study."""
    assert item.treated is not None
    row = _posterior("left", found.marginal("theta", item.study), item.study)
    course = float(found.marginal("course", item.study).mean)
    return [*row[:5], item.treated.y, course, item.treated.y - course - row[2]]


def _pooled(found: NaturalCourse) -> list[list[Any]]:
    """Means of before/after studies as reported and corrected, of trials, and of the analysis."""
    rows = []
    if found.alone is not None:
        row, before = (_posterior(kind, found.alone.marginal(name)) for kind, name in
                       (("less_course", "mu"), ("as_reported", "uncorrected")))  # fmt: skip
        course = float(found.alone.marginal("course_before_after").mean)
        rows = [before, [*row[:5], before[2], course, 0.0]]
    table = found.table
    alone = table[(table["analysis"] == TRIALS) & (table["quantity"] == "mu")]
    for one in alone.itertuples():
        rows.append(["trials_only", "", one.mean, one.eti95_lower, one.eti95_upper, NAN, NAN, NAN])
    return [*rows, _posterior("all", found.marginal("mu"))]


def plot_natural_course(found: NaturalCourse, *, title: str = "", unit: str = "") -> Figure:
    """Draw the natural course: the change of every arm, and what is left of before/after effects without it.

    All on one axis: control arms of trials, the natural course that they show (and its prior), treated arms,
    before/after studies as reported, with the natural course behind them; then effects of treatment: what is left of
    each before/after study, what each trial found, and the pooled means.

    Parameters
    ----------
    found : NaturalCourse
    title : str
    unit : str
        What changes are in; by default as the measure says.

    Returns
    -------
    matplotlib Figure
        Its numbers are those of ``ms.plots.natural_course_table(found)``.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    >>> priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)"}
    >>> priors |= {"tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}
    >>> found = ms.natural_course(effects, priors=priors, withhold=["Study 4", "Study 5"], draws=100)
    >>> figure = ms.plot_natural_course(found, title="Training")
    """
    table = natural_course_table(found)
    heading = title or f"{found.changes.endpoint}: natural course"
    digits = digits_for([row.upper - row.lower for row in table.itertuples()])
    better = f"{found.changes.better} is better" if found.changes.better else ""
    scale = "; ".join(text for text in (unit or _unit(found), better) if text)
    axis = "Change from before to after, or effect" + (f" ({scale})" if scale else "")
    rows: list[IntervalRow] = []
    for part, kinds in PARTS.items():
        own = table[table["kind"].isin(kinds)]
        if len(own):
            rows += [IntervalRow(part), *(_row(found, table, row, digits) for row in own.itertuples())]
    figure = draw_intervals(
        rows,
        title=heading,
        axis=axis,
        note=_note(found, table, digits),
        names=WIDTH_OF_NAMES,
        reliable=found.status == "reliable",
    )
    return describe(figure, heading, _words(found, table, digits))


def _unit(found: NaturalCourse) -> str:
    """What changes are in; nothing if that is not known."""
    scale = found.changes.scale
    return {"standard deviations": "SDs before treatment", "as given": ""}.get(scale, scale)


def _row(found: NaturalCourse, table: pd.DataFrame, row: Any, digits: int) -> IntervalRow:
    """One row of the figure."""
    mark, index = LOOKS[row.kind]
    if row.kind == "trials_only" and (table["kind"] == "trial").sum() == 1:
        mark = "square"  # nothing is pooled
    return IntervalRow(
        row.study or NAMES[row.kind],
        (row.estimate, row.lower, row.upper),
        _beside(found, row, digits),
        index,
        mark=mark,
        way=None if math.isnan(row.reported) else (row.reported, row.reported - row.course),
        bands=_bands(table, row.kind),
        second=COURSE,
    )


def _bands(table: pd.DataFrame, kind: str) -> tuple[Interval, ...]:
    """The natural course behind arms that were treated: of a new study, and its mean."""
    course = {row.kind: (row.estimate, row.lower, row.upper) for row in table.itertuples() if "course" in row.kind}
    if kind == "treated":
        return (course["course"],)
    if kind == "before_after":
        return course["course_new"], course.get("course_before_after", course["course"])
    return ()


def _beside(found: NaturalCourse, row: Any, digits: int) -> str:
    """What stands beside the numbers of a row."""
    if row.kind == "left":
        return f"course {number(row.course, digits)}\nchance {number(row.chance, digits)}"
    if row.kind == "all":
        p = float(found.table["p_benefit"].iloc[0])
        return "" if math.isnan(p) else equals("P(benefit)", p)
    if row.kind == "less_course":
        return f"course {number(row.course, digits)}"
    if row.kind == "course" and not math.isnan(found.course_prior_share):
        return f"prior counts {per_cent(found.course_prior_share)}"
    if row.kind == "prior":
        return str(found.model.prior("course"))
    if row.kind in ("withheld", "own"):
        return "withheld"
    if row.kind == "trial" and found.changes.items[found.changes.studies.index(row.study)].kind == "contrast":
        return "difference only"
    return ""


def _note(found: NaturalCourse, table: pd.DataFrame, digits: int) -> str:
    """The key of the figure, and what the natural course rests on."""
    kinds = set(table["kind"])
    said = ["Squares: estimates with 95 % confidence intervals; circles, diamonds, bars: posterior means with 95 % "
            "credible intervals."]  # fmt: skip
    said.append("Green line and band: mean natural course" + ("; pale: of a new study." if "left" in kinds else "."))
    if "left" in kinds:
        said.append("A change as reported (small open square) is natural course (green stretch), chance (dots), and "
                    "what is left (circle).")  # fmt: skip
    if "withheld" in kinds:
        said.append("Withheld control arms (open squares) are kept from the model.")
    return " ".join([*said, _rests_on(found, digits)])


def _arms(found: NaturalCourse) -> str:
    controls = len(found.changes.of("trial"))
    return f"{controls} control arm{'s' if controls > 1 else ''}"


def _rests_on(found: NaturalCourse, digits: int) -> str:
    """How far the natural course is its prior."""
    share = found.course_prior_share
    counts = "" if math.isnan(share) else f"; its prior counts {per_cent(share)}"
    mostly = ", so that it is mostly prior" if share > 0.5 else ""
    said = f"The mean natural course rests on {_arms(found)}{counts}{mostly}."
    if len(found.changes.of("trial")) in FEW:
        mean, lower, upper = _posterior("", found.marginal("tau_course"))[2:5]
        sd, prior = interval(mean, lower, upper, digits), found.model.prior("tau_course")
        said += f" How far studies differ in it, SD {sd}, is mostly prior: {prior}."
    return said


def _words(found: NaturalCourse, table: pd.DataFrame, digits: int) -> str:
    """The figure for who cannot see it."""
    said = {(r.kind, r.study): interval(r.estimate, r.lower, r.upper, digits) for r in table.itertuples()}
    words = [f"Mean change without treatment, from {_arms(found)}: {said['course', '']}"]
    for row in table[table["kind"] == "left"].itertuples():
        reported = number(row.reported, digits)
        course = number(row.course, digits)
        words.append(f"{row.study}: reported {reported}, natural course {course}, left {said['left', row.study]}")
    pooled = [f"{NAMES[kind]} {said[kind, '']}" for kind in POOLED if (kind, "") in said]
    return "; ".join([*words, f"pooled effect: {', '.join(pooled)}"]) + "."
