"""Bayesian, frequentist and published results side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.explanations import explain
from metastrata.appraisal.summaries import summary
from metastrata.errors import InputError, unknown
from metastrata.evidence.effects import Effects
from metastrata.frequentist.answers import classical
from metastrata.frequentist.pooling import Classical
from metastrata.inference.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["quantity", "stratum", "method", "estimate", "lower", "upper", "interval", "tau", "i2", "note"]
METHODS: tuple[tuple[str, str, str], ...] = (
    ("REML + HKSJ", "REML", "HKSJ"),
    ("REML + Wald", "REML", "Wald"),
    ("DL + Wald", "DL", "Wald"),
    ("fixed effect", "FE", "Wald"),
)
CREDIBLE, CONFIDENCE = "95 % credible", "95 % confidence"


def compare(
    fit: Fit, published: Mapping[str, Any] | None = None, labels: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Set a fit beside the frequentist answers on the same effects, and a published result.

    Parameters
    ----------
    fit : Fit
    published : mapping, optional
        ``{"estimate": -1.76, "ci": (-2.00, -1.51), "source": "Liu 2018"}``.
    labels : mapping, optional
        Names of the strata as a reader should see them.

    Returns
    -------
    DataFrame
        Columns ``quantity stratum method estimate lower upper interval tau i2 note``: quantities "mean", "prediction"
        and "tau", per stratum and overall (stratum ""). The frequentist overall mean pools all studies and ignores
        their designs; the Bayesian one is the mean over designs. Where the Bayesian mean differs materially from REML
        with HKSJ, `note` says why, computed by refits (see `explain`).

    Raises
    ------
    InputError
        If `published` lacks a value or has a key of another name.
    """
    import pandas as pd

    names = labels or {}
    why = {e.stratum: e.sentence(names) for e in explain(fit) if e.material}
    rows = _bayesian_rows(fit, why)
    rows += frequentist_rows(fit.effects)
    if published is not None:
        rows.append(_published_row(published))
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {"": 0, **{s: i for i, s in enumerate(fit.design.strata, start=1)}}
    kinds = {"mean": 0, "prediction": 1, "tau": 2}
    table["_stratum"], table["_kind"] = table["stratum"].map(order), table["quantity"].map(kinds)
    table = table.sort_values(["_stratum", "_kind"], kind="stable").drop(columns=["_stratum", "_kind"])
    table["stratum"] = table["stratum"].map(lambda s: names.get(s, s))
    return table.reset_index(drop=True)


def _bayesian_rows(fit: Fit, why: Mapping[str, str]) -> list[list[Any]]:
    table = summary(fit)
    one = len(fit.design.strata) == 1
    tau = table[table["quantity"] == "tau"].set_index("stratum")["median"]
    kinds = {"mu": "mean", "mu_stratum": "mean", "theta_new": "prediction", "tau": "tau"}
    rows = []
    for row in table.itertuples():
        kind = kinds.get(row.quantity)
        if kind is None or (one and row.quantity == "mu"):
            continue
        spread = float(tau.get(row.stratum, float("nan"))) if row.quantity == "mu_stratum" else float("nan")
        centre = row.median if kind == "tau" else row.mean
        stratum = "" if one else row.stratum
        interval = [row.eti95_lower, row.eti95_upper, CREDIBLE]
        note = "; ".join(text for text in (row.note, why.get(stratum, "") if kind == "mean" else "") if text)
        rows.append([kind, stratum, "Bayesian", centre, *interval, spread, float("nan"), _status(fit, note)])
    return rows


def _status(fit: Fit, note: str) -> str:
    return note if fit.status == "reliable" else f"NOT RELIABLE ({'; '.join(fit.reasons)}). {note}".strip()


def frequentist_rows(effects: Effects) -> list[list[Any]]:
    """Frequentist answers for all studies together and for each stratum."""
    rows: list[list[Any]] = []
    parts: Sequence[tuple[str, Effects]] = [("", effects)]
    if len(effects.strata) > 1:
        parts = [*parts, *((s, effects.stratum(s)) for s in effects.strata)]
    for stratum, part in parts:
        for name, method, interval in METHODS:
            if len(part) == 1 and method != "FE":
                continue
            result = classical(part, method=method, interval=interval)
            label = "study's own" if len(part) == 1 else name
            rows.append(_row("mean", stratum, label, result, result.estimate, result.lower, result.upper))
            if method == "REML" and interval == "HKSJ":
                limits = (result.prediction_lower, result.prediction_upper)
                rows.append(_row("prediction", stratum, label, result, result.estimate, *limits))
    return rows


def _row(
    kind: str, stratum: str, label: str, result: Classical, estimate: float, lower: float, upper: float
) -> list[Any]:
    tau = float(result.tau2) ** 0.5 if result.tau2 == result.tau2 else float("nan")
    kind_of_interval = CONFIDENCE if kind == "mean" else "95 % prediction"
    return [kind, stratum, label, estimate, lower, upper, kind_of_interval, tau, result.i2, result.note]


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
    nan = float("nan")
    label, note = f"published: {source}", str(published.get("note") or "")
    return ["mean", "", label, estimate, float(lower), float(upper), f"{level:g} % confidence", nan, nan, note]
