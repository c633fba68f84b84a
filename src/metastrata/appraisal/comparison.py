"""Bayesian, frequentist and published results side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.explanations import explain
from metastrata.appraisal.reasons import Explanation, Publication, Reason, Variation, contrast_label
from metastrata.appraisal.summaries import summary
from metastrata.appraisal.tied_effects import NAME, tied, tied_answer
from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import as_entered
from metastrata.frequentist.pooling import Classical
from metastrata.frequentist.subgroups import Difference, pool_subgroups
from metastrata.frequentist.tau2_intervals import tau2_interval
from metastrata.inference.fit import Fit
from metastrata.model.answers import DEFAULT, answer_named
from metastrata.model.answers import Answer as Asked

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["quantity", "stratum", "method", "estimate", "lower", "upper", "interval", "tau", "i2", "note", "why"]
KINDS = ("mean", "contrast", "prediction", "tau")
POSTERIOR = {"mu": "mean", "mu_stratum": "mean", "contrast": "contrast", "theta_new": "prediction", "tau": "tau"}
CREDIBLE, CONFIDENCE, PREDICTION = "95 % credible", "95 % confidence", "95 % prediction"
NAN = math.nan


def compare(
    fit: Fit,
    published: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    *,
    methods: Sequence[str] = DEFAULT,
    reasons: Iterable[Reason] | None = None,
) -> pd.DataFrame:
    """Set a fit beside the frequentist answers on the same effects, and a published result.

    Parameters
    ----------
    fit : Fit
    published : mapping, optional
        ``{"estimate": -1.76, "ci": (-2.00, -1.51), "source": "Liu 2018"}``.
    labels : mapping, optional
        Names of the strata as a reader should see them.
    methods : sequence of str
        Frequentist answers: an estimator of tau2 and an interval ("REML + HKSJ", "PM + Wald"), "fixed effect", or a
        program ("RevMan 5", "RevMan 5 fixed", "RevMan Web").
    reasons : iterable, optional
        What `explain` found, if it was asked already.

    Returns
    -------
    DataFrame
        Columns ``quantity stratum method estimate lower upper interval tau i2 note why``; quantities "mean", "contrast"
        (a difference between strata), "prediction" (a new study) and "tau", per stratum and overall (stratum ""). The
        frequentist overall mean pools all studies and ignores their designs; the Bayesian one is the mean over designs.
        The frequentist contrast is the difference of the strata's estimates (see `Difference`); tau has the Q-profile
        interval where it is REML's or Paule and Mandel's. Where a row differs materially, `why` names the
        causes, computed by refits (see `explain`).

    Raises
    ------
    InputError
        If a method is unknown, or `published` lacks a value or has a key of another name.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([0.5, 0.9, 0.1], [0.2, 0.3, 0.2], stratum=["a", "a", "b"])
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> table = ms.compare(ms.fit(ms.Model(priors=priors), effects, engine="exact", draws=100), methods=["RevMan 5"])
    >>> table.loc[table["quantity"] == "contrast", ["stratum", "method"]].to_numpy().tolist()
    [['a - b', 'Bayesian'], ['a - b', 'RevMan 5']]
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    names = labels or {}
    wanted = [answer_named(name) for name in methods]
    extra = [] if published is None else [_published_row(published)]
    said = list(explain(fit, published) if reasons is None else reasons)
    rows = [*_bayesian_rows(fit), *frequentist_rows(fit.effects, wanted), *_tied_rows(fit), *extra]
    table = pd.DataFrame(_with_reasons(rows, said, names), columns=COLUMNS)
    strata = ["", *fit.design.strata]
    place = {name: i for i, name in enumerate(dict.fromkeys([*strata, *table["stratum"]]))}
    table["_stratum"], table["_kind"] = table["stratum"].map(place), table["quantity"].map(KINDS.index)
    table = table.sort_values(["_stratum", "_kind"], kind="stable").drop(columns=["_stratum", "_kind"])
    shown = {s: contrast_label(s, names) if q == "contrast" else names.get(s, s)
             for q, s in zip(table["quantity"], table["stratum"], strict=True)}  # fmt: skip
    table["stratum"] = table["stratum"].map(shown)
    return Shown(table.reset_index(drop=True))


def _with_reasons(rows: list[list[Any]], reasons: Sequence[Reason], names: Mapping[str, str]) -> list[list[Any]]:
    """The rows, each with the reasons of the answer it holds."""
    about: dict[tuple[str, str, str], list[str]] = {}
    holders = {Explanation: "Bayesian", Variation: "REML + HKSJ", Publication: "published"}
    for reason in reasons:
        if reason.material:
            key = (reason.quantity, reason.stratum, holders[type(reason)])
            about.setdefault(key, []).append(reason.sentence(names))
    return [[*row, " ".join(about.get((row[0], row[1], row[2].partition(":")[0]), ()))] for row in rows]


def _bayesian_rows(fit: Fit) -> list[list[Any]]:
    table = summary(fit)
    one = len(fit.design.strata) == 1
    shared = fit.design.heterogeneity == "common"
    tau = table[table["quantity"] == "tau"].set_index("stratum")["median"]
    rows = []
    for row in table.itertuples():
        kind = POSTERIOR.get(row.quantity)
        if kind is None or (one and row.quantity == "mu_stratum"):
            continue
        if kind == "tau" and shared and row.stratum != fit.design.strata[0]:
            continue  # one tau for all
        spread = float(tau.get(row.stratum, NAN)) if row.quantity == "mu_stratum" else NAN
        centre = row.median if kind == "tau" else row.mean
        interval = [row.eti95_lower, row.eti95_upper, CREDIBLE]
        stratum = "" if (one and kind != "contrast") or (kind == "tau" and shared) else row.stratum
        rows.append([kind, stratum, "Bayesian", centre, *interval, spread, NAN, _status(fit, row.note)])
    return rows


def _status(fit: Fit, note: str) -> str:
    return note if fit.status == "reliable" else f"NOT RELIABLE ({'; '.join(fit.reasons)}). {note}".strip()


def frequentist_rows(effects: Effects, methods: Sequence[Asked]) -> list[list[Any]]:
    """Frequentist answers for all studies together, for each stratum, and between strata."""
    rows: list[list[Any]] = []
    if effects.covariances:
        return [_not_independent(column, effects) for column in methods]
    for column in methods:
        part = as_entered(effects) if column.preset else effects
        y, variance, names = part.y, part.se**2, [item.stratum for item in part.items]
        arms = pool_subgroups(y, variance, names, column.method, column.interval)
        rows += _one(column, "", arms.overall, part)
        if len(part.strata) > 1:
            for stratum, found in arms.groups.items():
                rows += _one(column, stratum, found, part.stratum(stratum))
            rows += [_difference(column, found) for found in arms.differences]
    return rows


def _not_independent(column: Asked, effects: Effects) -> list[Any]:
    """No answer: the methods compared take effects for independent."""
    names = ", ".join(effects.studies[i] for i in effects.blocks[0][0])
    why = f"not estimable: the effects of {names} are not independent, which this method takes them for"
    return ["mean", "", column.name, NAN, NAN, NAN, CONFIDENCE, NAN, NAN, why]


def _tied_rows(fit: Fit) -> list[list[Any]]:
    """Mean and tau by REML with a level for each kind of effect, where effects are nested or have covariances."""
    if not tied(fit):
        return []
    rows: list[list[Any]] = []
    for stratum in ["", *(fit.design.strata if len(fit.design.strata) > 1 else ())]:
        found = tied_answer(fit, stratum)
        if found is not None:
            mean = [found.estimate, found.lower, found.upper, CONFIDENCE, found.tau, NAN, found.note]
            rows += [
                ["mean", stratum, NAME, *mean],
                ["tau", stratum, NAME, found.tau, NAN, NAN, "", found.tau, NAN, ""],
            ]
    return rows


def _one(column: Asked, stratum: str, found: Classical, part: Effects) -> list[list[Any]]:
    """Mean, new study and tau of a set of studies."""
    tau, name = (found.tau if math.isfinite(found.tau2) else NAN), column.name
    what = found.note if column.method != "FE" or found.k == 1 else ""
    mean = ["mean", stratum, name, found.estimate, found.lower, found.upper, CONFIDENCE, tau, found.i2, what]
    if found.k == 1 or column.method == "FE":
        return [mean]
    tau_row = _tau_row(column, stratum, found, part)
    if not column.prediction:
        return [mean, tau_row]
    limits = (found.prediction_lower, found.prediction_upper)
    ahead = ["prediction", stratum, name, found.estimate, *limits, PREDICTION, tau, found.i2, found.convergence]
    return [mean, ahead, tau_row]


def _tau_row(column: Asked, stratum: str, found: Classical, part: Effects) -> list[Any]:
    tau = found.tau if math.isfinite(found.tau2) else NAN
    lower, upper = NAN, NAN
    if column.method in ("REML", "PM") and math.isfinite(tau):
        spread = tau2_interval(part.y, part.se**2, method=column.method)
        lower, upper = (math.sqrt(v) if v >= 0 else NAN for v in (spread.lower, spread.upper))
    kind = CONFIDENCE if math.isfinite(upper) else ""
    return ["tau", stratum, column.name, tau, lower, upper, kind, tau, found.i2, found.convergence]


def _difference(column: Asked, found: Difference) -> list[Any]:
    what = "" if math.isfinite(found.se) and found.se > 0 else "not estimable: a stratum has no standard error"
    numbers = [found.estimate, found.lower, found.upper] if not what else [found.estimate, NAN, NAN]
    return ["contrast", f"{found.first} - {found.second}", column.name, *numbers, CONFIDENCE, NAN, NAN, what]


def _published_row(published: Mapping[str, Any]) -> list[Any]:
    allowed = ("estimate", "ci", "source", "ci_level", "note")
    for key in published:
        if key not in allowed:
            raise InputError(unknown("key of published", key, allowed))
    try:
        estimate, (lower, upper) = float(published["estimate"]), published["ci"]
    except (KeyError, TypeError, ValueError):
        raise InputError("published needs 'estimate' and 'ci': {\"estimate\": -1.76, \"ci\": (-2.00, -1.51)}") from None
    if not float(lower) < estimate < float(upper):
        raise InputError(f"published: the estimate {estimate} lies outside its interval ({lower}, {upper})")
    source = str(published.get("source", "") or "published")
    level = published.get("ci_level") or 95
    label, note = f"published: {source}", str(published.get("note") or "")
    return ["mean", "", label, estimate, float(lower), float(upper), f"{level:g} % confidence", NAN, NAN, note]


def by_method(table: pd.DataFrame) -> pd.DataFrame:
    """A comparison with a row per quantity and stratum and a column per method, as "estimate [lower, upper]".

    Parameters
    ----------
    table : DataFrame
        As `compare` gives it.

    Returns
    -------
    DataFrame
        Indexed by quantity and stratum; "" where a method has no such answer.
    """
    cells = table.assign(cell=[_cell(row) for row in table.to_dict("records")])
    methods = list(dict.fromkeys(table["method"]))
    keys = ["quantity", "stratum"]
    wide = cells.pivot_table(index=keys, columns="method", values="cell", aggfunc="first", sort=False)
    return wide.reindex(columns=methods).fillna("")


def _cell(row: Mapping[str, Any]) -> str:
    if not math.isfinite(row["estimate"]):
        return "not estimable"
    text = f"{row['estimate']:.2f}"
    return f"{text} [{row['lower']:.2f}, {row['upper']:.2f}]" if math.isfinite(row["upper"]) else text
