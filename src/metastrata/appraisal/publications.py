"""What a published result differs by from REML with HKSJ: the method, the derivation, the rest, and rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metastrata.appraisal.audit import audit, rounding
from metastrata.appraisal.reasons import Answer, Publication, Step
from metastrata.appraisal.variations import changes
from metastrata.evidence.effects import Effects, rederive
from metastrata.frequentist.answers import classical

AS_ANALYSED = "as analysed"


def publication(effects: Effects, published: Mapping[str, Any]) -> Publication:
    """Look for the published result among all classical methods on all derivations, of all studies and each stratum.

    Raises
    ------
    InputError
        If the published result is not complete.
    """
    known = derivations(effects)
    table = audit({name: part for name, (_, _, part) in known.items()}, published)
    whole = table[table["rows"] == AS_ANALYSED]
    level = float(published.get("ci_level") or 95)
    own = classical(effects, method="REML", interval="HKSJ", level=level)
    start: Answer = (own.estimate, own.lower, own.upper)
    lower, upper = published["ci"]
    wanted: Answer = (float(published["estimate"]), float(lower), float(upper))
    best, nearest = table.iloc[0], whole.iloc[0]
    closest: Answer = (float(best["estimate"]), float(best["lower"]), float(best["upper"]))
    steps = [
        _step("from the method", start[0], nearest),
        _step("from these rows so derived", float(nearest["estimate"]), best),
        Step("unexplained: other studies, or other numbers", wanted[0] - closest[0], wanted[2] - wanted[1]),
    ]
    if best["reproduced"]:
        steps[-1] = Step("from rounding", steps[-1].shift, steps[-1].width)
    stratum, derivation, _ = known[str(best["rows"])]
    return Publication(
        wanted, str(published.get("source") or "Published"), start, closest, str(best["method"]),
        str(best["interval"]), stratum, derivation, len(table), bool(best["reproduced"]), tuple(steps),
        rounding(published),
    )  # fmt: skip


def _step(cause: str, before: float, row: Any) -> Step:
    return Step(cause, float(row["estimate"]) - before, float(row["upper"]) - float(row["lower"]))


def derivations(effects: Effects) -> dict[str, tuple[str, str, Effects]]:
    """The rows as analysed and derived otherwise, all of them and each stratum's: stratum, derivation, effects."""
    ways = {AS_ANALYSED: effects}
    for change in changes(effects):
        other = rederive(effects, **change.options)
        if other is not None:
            ways[f"with {change.choice}"] = other
    found = {name: ("", name, part) for name, part in ways.items()}
    if len(effects.strata) > 1:
        for name, part in ways.items():
            found |= {f"{s}, {name}": (s, name, part.stratum(s)) for s in effects.strata}
    return found
