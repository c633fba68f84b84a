"""What a careful statistician would doubt in a table of effects: entry errors, mixed scales, patients counted twice.

Each doubt has the code of the catalogue of faults (F19 to F54) and a severity: "acknowledge" stops the analysis until
the row is corrected or the plan says why it is right, "warn" and "note" are printed in the report. Nothing is changed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metastrata.errors import Fault
from metastrata.evidence.effect import Effect
from metastrata.evidence.effect_set import Effects
from metastrata.evidence.measures import STANDARDISED
from metastrata.evidence.recipes import Options
from metastrata.evidence.screening_rows import doubt, row_doubts, shared_scale_doubts


@dataclass(frozen=True)
class Acknowledgement:
    """A doubt settled in the plan: which, and why the row is right.

    Attributes
    ----------
    code : str
        Of the check, such as "F24".
    reason : str
    study, endpoint : str
        Whom it concerns; empty for all.
    """

    code: str
    reason: str
    study: str = ""
    endpoint: str = ""

    def settles(self, fault: Fault) -> bool:
        """Whether this is about that doubt."""
        return (
            self.code == fault.code and self.study in ("", fault.study) and self.endpoint in ("", fault.endpoint)
        )  # fmt: skip


def screen(
    effects: Effects,
    options: Options | None = None,
    *,
    acknowledged: Sequence[Acknowledgement] = (),
    strata: Collection[str] = (),
    left_out: Collection[str] = (),
) -> list[Fault]:
    """Look for errors of entry and for studies that should not stand side by side.

    Parameters
    ----------
    effects : Effects
    options : Options, optional
        How the effects were derived.
    acknowledged : sequence of Acknowledgement
        Doubts settled in the plan: they become notes that carry the reason.
    strata : collection of str
        The strata of the plan.
    left_out : collection of str
        Studies that some sensitivity analysis leaves out.

    Returns
    -------
    list of Fault
        With code and severity.

    Examples
    --------
    >>> from metastrata.evidence.effects import Effects
    >>> effects = Effects.from_estimates(y=[0.1, 0.2, 0.3], se=[0.2, 0.2, 0.0001])
    >>> [(fault.code, fault.severity) for fault in screen(effects)]
    [('F53', 'warn'), ('F53', 'warn')]
    """
    options = options or Options(measure=effects.measure)
    found: list[Fault] = []
    groups: dict[str, list[Effect]] = defaultdict(list)
    for item in effects.items:
        groups[item.endpoint].append(item)
    for endpoint, items in groups.items():
        found += row_doubts(items, options)
        found += shared_scale_doubts(items, options)
        for check in _CHECKS:
            found += check(items, options)
        found += _overlaps(items, left_out) + _few(items, endpoint, strata)
    found += _two_strata(effects.items)
    return settle(found, acknowledged)


def settle(faults: Iterable[Fault], acknowledged: Sequence[Acknowledgement]) -> list[Fault]:
    """The faults, those acknowledged turned into notes that say why; only doubts can be acknowledged."""
    done = []
    for fault in faults:
        reason = next((a.reason for a in acknowledged if a.settles(fault)), "")
        if reason and fault.severity in ("acknowledge", "warn"):
            stop = "" if fault.message.endswith(("?", ".")) else "."
            fault = replace(fault, message=f"{fault.message}{stop} Acknowledged: {reason}", severity="note")
        done.append(fault)
    return done


def _large(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F33: a standardised effect beyond 2, or beyond 5. F25: all of them beyond 1.5, and disagreeing."""
    if options.measure not in STANDARDISED:
        return []
    found = []
    for item in items:
        if abs(item.y) > 5:
            found.append(doubt(item, "F33", f"an effect of {item.y:.3g} SDs is hardly ever real: is an SE taken for "
                               "an SD, a unit wrong, an SD of change for an SD?", None, "acknowledge"))  # fmt: skip
        elif abs(item.y) > 2:
            found.append(doubt(item, "F33", f"an effect of {item.y:.3g} SDs is unusually large: check that its "
                               "SDs are not SEs, and its unit"))  # fmt: skip
    y, weight = np.array([i.y for i in items]), np.array([i.se for i in items]) ** -2.0
    if len(items) < 3 or np.abs(y).min() <= 1.5:
        return found
    q = float(np.sum(weight * (y - np.average(y, weights=weight)) ** 2))
    inconsistency = 1 - (len(items) - 1) / q if q > 0 else 0.0
    if inconsistency > 0.9:
        message = (f"every effect is beyond 1.5 SDs and they disagree (I2 = {100 * inconsistency:.0f} %): are SEs "
                   "entered as SDs in all studies?")  # fmt: skip
        found.append(Fault(message, endpoint=items[0].endpoint, severity="acknowledge", code="F25"))
    return found


def _odd_sign(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F37: one study's sign opposite to that of all others, and far from zero."""
    if len(items) < 4:
        return []
    signs = np.sign([i.y for i in items])
    for sign in (1, -1):
        if np.sum(signs == sign) == 1 and np.sum(signs == -sign) == len(items) - 1:
            item = items[int(np.flatnonzero(signs == sign)[0])]
            z = item.y / item.se
            if abs(z) > 3:
                others = len(items) - 1
                return [doubt(item, "F37", f"the sign is opposite to {others} of {others} others, with z = {z:.1f}: a "
                              "reversed scale, or swapped arms?", None, "acknowledge")]  # fmt: skip
    return []


def _mixed_scores(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F35: changes from baseline among final values, within a standardised endpoint."""
    changes = [i for i in items if i.cells.get("scores") == "change" or i.metric.scale == "change"]
    if options.measure not in STANDARDISED or not changes or len(changes) == len(items):
        return []
    if options.change_scores == "convert":
        return [doubt(i, "F35", "change scores among raw scores, converted with the correlation of the row or the plan",
                      "scores", "note") for i in changes]  # fmt: skip
    return [doubt(i, "F35", "change scores are pooled with raw scores as they are: their SDs differ by sqrt(2(1 - r))",
                  "scores") for i in changes]  # fmt: skip


def _lopsided(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F52: all equal. F53: one SE, or one weight, out of all proportion."""
    if len(items) < 2:
        return []
    endpoint = items[0].endpoint
    y, se = np.array([i.y for i in items]), np.array([i.se for i in items])
    found = []
    if np.ptp(y) == 0:
        found.append(_about(endpoint, "F52", f"all {len(items)} estimates are {y[0]:.4g}: were they copied?"))
    ratio = float(se.max() / se.min())
    if ratio > 1000:
        found.append(doubt(items[int(se.argmin())], "F53", f"its SE is {ratio:.0f} times smaller than the largest: a "
                           "slip of the decimal point, or an SD in one place and an SE in another?"))  # fmt: skip
    share = se**-2.0 / np.sum(se**-2.0)
    if len(items) > 2 and share.max() > 0.8:
        found.append(doubt(items[int(share.argmax())], "F53", f"has {100 * share.max():.0f} % of the weight of a "
                           "common-effect analysis"))  # fmt: skip
    return found


def _same_control(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F43: rows whose control arms are the same to the last digit."""
    arms: dict[tuple[object, ...], list[Effect]] = defaultdict(list)
    for item in items:
        arm = tuple(item.cells.get(c) for c in ("n_control", "mean_control", "sd_control"))
        if None not in arm and not item.cells.get("shared_control"):
            arms[arm].append(item)
    return [
        doubt(item, "F43", f"its control arm is that of {group[0].study} to the last digit: if it is the same group, "
              "say so in the column shared_control, or its patients count twice", "n_control", "acknowledge")
        for group in arms.values()
        for item in group[1:]
        if item.study.casefold() != group[0].study.casefold()
    ]  # fmt: skip


_CHECKS: tuple[Callable[[Sequence[Effect], Options], list[Fault]], ...] = (
    _large,
    _odd_sign,
    _mixed_scores,
    _lopsided,
    _same_control,
)


def _overlaps(items: Sequence[Effect], left_out: Collection[str]) -> list[Fault]:
    """F42: studies that declare shared patients."""
    groups: dict[str, list[Effect]] = defaultdict(list)
    for item in items:
        name = str(item.cells.get("overlap") or "").strip().casefold()
        if name:
            groups[name].append(item)
    found = []
    for group in groups.values():
        if len(group) < 2:
            continue
        names = ", ".join(i.study for i in group)
        tried = sum(i.study not in left_out for i in group) <= 1
        advice = ("sensitivity analyses leave one out at a time" if tried else
                  "use one of them, or add alternatives that leave each out")  # fmt: skip
        for item in group:
            found.append(doubt(item, "F42", f"{names} share patients, who count twice: {advice}", "overlap",
                               "note" if tried else "warn"))  # fmt: skip
    return found


def _two_strata(items: Sequence[Effect]) -> list[Fault]:
    """F42: one study, or two parts of it, in two strata."""
    first: dict[str, Effect] = {}
    found, told = [], set()
    for item in items:
        base = re.sub(r"\s*\(.*\)$", "", item.study).casefold()
        other = first.setdefault(base, item)
        if other.stratum != item.stratum and item.study not in told:
            told.add(item.study)
            found.append(doubt(item, "F42", f"stands in stratum {item.stratum}, and {other.study} in {other.stratum}: "
                               "do the same patients count twice?", "design"))  # fmt: skip
    return found


def _few(items: Sequence[Effect], endpoint: str, strata: Collection[str]) -> list[Fault]:
    """F46, F49 to F51, F54: how much so many studies in so many strata can say."""
    sizes: dict[str, int] = defaultdict(int)
    once = {(item.stratum, item.study): item for item in items}  # a study may stand at several visits
    for stratum, _ in once:
        sizes[stratum] += 1
    found = []
    k = len(once)
    if len(strata) > 1 and len(sizes) == 1:
        found.append(_about(endpoint, "F46", f"only the stratum {items[0].stratum} has studies: there is no SD between "
                            "strata to estimate", "note"))  # fmt: skip
    if k == 2:
        found.append(_about(endpoint, "F49", "two studies: the heterogeneity comes from its prior"))
    if k > 1 and len(sizes) > 1:
        for name, size in sizes.items():
            if size == 1:
                found.append(_about(endpoint, "F50", f"the stratum {name} has one study: the heterogeneity within it "
                                    "comes from its prior"))  # fmt: skip
        if len(sizes) == 2:
            found.append(_about(endpoint, "F51", "two strata say little about the SD between strata: its posterior is "
                                "mostly its prior"))  # fmt: skip
    if k > 500:
        found.append(_about(endpoint, "F54", f"{k} studies: figures show them on several pages", "note"))
    return found


def _about(endpoint: str, code: str, message: str, severity: str = "warn") -> Fault:
    return Fault(message, endpoint=endpoint, severity=severity, code=code)
