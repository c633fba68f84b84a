"""The covariance of effects that share a control arm.

To first order, the covariance of two effects is what the sampling errors of the shared arm add to both. Each effect
has a few *loadings*: its slope in each statistic of the control arm times that statistic's standard deviation. The
covariance is the sum of their products, so that the matrix of a whole group is positive definite by construction
wherever a variance is at least what its own control arm adds to it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

from metastrata.errors import Fault
from metastrata.evidence.arms import Entry, visit_of
from metastrata.evidence.covariances import Pair
from metastrata.evidence.effect import Effect
from metastrata.evidence.measures import pooled_sd
from metastrata.evidence.recipes import Options, Recipe

Loadings = tuple[float, ...]


def pooled_sd_loadings(g: float, n_treated: float, n_control: float) -> Loadings:
    """Loadings of a difference in SDs pooled over its two arms (Hedges' g).

    Those of the control mean, ``1 / sqrt(n)``, and of the control variance within the pooled one,
    ``g sqrt(n / 2) / (n1 + n)``. With the SD pooled over all arms the second would give Gleser and Olkin's
    ``g1 g2 / (2 N)`` (2009, in Cooper, Hedges and Valentine, eq. 19.19).

    Examples
    --------
    >>> a = pooled_sd_loadings(0.5, 40, 40)
    >>> round(sum(x * x for x in a), 6)  # 1/40 + 0.5^2 40 / (2 80^2)
    0.025781
    """
    return 1 / math.sqrt(n_control), g * math.sqrt(n_control / 2) / (n_treated + n_control)


def _smd(g: float, args: Loadings, options: Options) -> Loadings:
    return pooled_sd_loadings(g, args[2], args[5])


def _smd_from_d(g: float, args: Loadings, options: Options) -> Loadings:
    return pooled_sd_loadings(g, args[1], args[2])


def _smd1(g: float, args: Loadings, options: Options) -> Loadings:
    n = args[4]
    return 1 / math.sqrt(n), g / math.sqrt(2 * n)


def _smdh(g: float, args: Loadings, options: Options) -> Loadings:
    sd_treated, sd_control, n = args[1], args[4], args[5]
    both = sd_treated**2 + sd_control**2
    return sd_control * math.sqrt(2 / (n * both)), g * sd_control**2 / both / math.sqrt(2 * n)


def _md(y: float, args: Loadings, options: Options) -> Loadings:
    sd = float(pooled_sd(args[1], args[2], args[4], args[5])) if options.variance == "HO" else args[4]
    return (sd / math.sqrt(args[5]),)


def _rom(y: float, args: Loadings, options: Options) -> Loadings:
    return (args[4] / math.sqrt(args[5]) / args[3],)


def _cells(args: Loadings, options: Options) -> tuple[float, float]:
    """Events and others of the control arm, with 1/2 where the zero-cell rule wants it."""
    a, n1, c, n2 = args
    zero = 0 in (a, n1 - a, c, n2 - c)
    more = 0.5 if options.zero_cells == "all" or (zero and options.zero_cells != "none") else 0.0
    return c + more, n2 - c + more


def _odds(y: float, args: Loadings, options: Options) -> Loadings:
    c, d = _cells(args, options)
    return (math.sqrt(1 / c + 1 / d),)


def _risk(y: float, args: Loadings, options: Options) -> Loadings:
    c, d = _cells(args, options)
    return (math.sqrt(1 / c - 1 / (c + d)),)


def _difference(y: float, args: Loadings, options: Options) -> Loadings:
    c, d = _cells(args, options)
    return (math.sqrt(c * d / (c + d) ** 3),)


def _rate(y: float, args: Loadings, options: Options) -> Loadings:
    zero = 0 in (args[0], args[2]) and options.zero_cells != "none"
    return (math.sqrt(1 / (args[2] + 0.5 * (zero or options.zero_cells == "all"))),)


# By formula: the loadings, and where the control arm stands among the formula's arguments.
LOADINGS: dict[str, tuple[Callable[[float, Loadings, Options], Loadings], slice]] = {
    "smd": (_smd, slice(3, 6)),
    "smd_from_d": (_smd_from_d, slice(2, 3)),
    "smd1": (_smd1, slice(2, 5)),
    "smdh": (_smdh, slice(3, 6)),
    "md": (_md, slice(3, 6)),
    "rom": (_rom, slice(3, 6)),
    "OR": (_odds, slice(2, 4)),
    "RR": (_risk, slice(2, 4)),
    "RD": (_difference, slice(2, 4)),
    "IRR": (_rate, slice(2, 4)),
}


def control_covariances(
    derived: Sequence[tuple[Entry, Recipe, float]], items: Sequence[Effect], options: Options
) -> tuple[tuple[Pair, ...], list[Fault]]:
    """Covariances of the effects whose rows declare one control arm, and what forbids to compute them (F43).

    Parameters
    ----------
    derived : sequence of (Entry, Recipe, float)
        Rows, their formulas, and the factor each result was multiplied by.
    items : sequence of Effect
        The effects in their final order.
    options : Options
    """
    if options.shared_control != "covariance":
        return (), []
    place = {item.row: i for i, item in enumerate(items)}
    groups: dict[tuple[str, str, str, float | None], list[tuple[Entry, Recipe, float]]] = defaultdict(list)
    for entry, found, factor in derived:
        name = entry.row.text("shared_control").casefold()
        if name and entry.row.number in place:
            groups[(entry.stratum, entry.endpoint, name, visit_of(entry, options))].append((entry, found, factor))
    pairs: list[Pair] = []
    faults: list[Fault] = []
    for group in groups.values():
        if len(group) < 2:
            continue
        why = _unfit(group, options)
        if why:
            faults += [replace(entry.row.fault(why, "shared_control"), code="F43") for entry, _, _ in group]
            continue
        loaded = [_scaled(items[place[entry.row.number]].y, found, factor, options) for entry, found, factor in group]
        at = [place[entry.row.number] for entry, _, _ in group]
        for a, b in combinations(range(len(group)), 2):
            covariance = sum(x * y for x, y in zip(loaded[a], loaded[b], strict=True))
            pairs.append((min(at[a], at[b]), max(at[a], at[b]), covariance))
    return tuple(sorted(pairs)), faults


def _scaled(y: float, found: Recipe, factor: float, options: Options) -> Loadings:
    return tuple(factor * x for x in LOADINGS[found.formula][0](y / factor, found.arguments, options))


def _unfit(group: Sequence[tuple[Entry, Recipe, float]], options: Options) -> str:
    """Why the covariances of a group cannot be computed, or ""."""
    rows = ", ".join(str(entry.row.number) for entry, _, _ in group)
    other = 'choose shared_control = "split" or "combine" in the plan, or correct the rows'
    for _, found, _ in group:
        if found.formula not in LOADINGS:
            how = found.text.partition(";")[0]
            return f"rows {rows} share a control arm, but the covariance of effects by '{how}' is not known: {other}"
    first, others = group[0], group[1:]
    for entry, found, _ in others:
        same = found.formula == first[1].formula and entry.row.text("unit") == first[0].row.text("unit")
        arms = [one.arguments[LOADINGS[one.formula][1]] for one in (first[1], found)]
        mine, theirs = arms if same else [arm[-1:] for arm in arms]
        if mine != theirs:
            said = " and ".join(", ".join(f"{x:g}" for x in arm) for arm in (mine, theirs))
            return (f"rows {rows} say that they share a control arm, but {first[0].row.number} and {entry.row.number} "
                    f"print different ones ({said}): correct them, or name the arms apart")  # fmt: skip
    sizes = {len(LOADINGS[found.formula][0](0.0, found.arguments, options)) for _, found, _ in group}
    apart = f"rows {rows} share a control arm, but their effects are of different kinds: {other}"
    return "" if len(sizes) == 1 else apart
