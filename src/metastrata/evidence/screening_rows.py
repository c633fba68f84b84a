"""Doubts about single rows, and about rows against their peers on one scale."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.effect import Effect
from metastrata.evidence.measures import STANDARDISED, hedges_j, pooled_sd
from metastrata.evidence.recipes import Options

_MEANS_AND_SDS = (
    ("mean_treated", "sd_treated", "n_treated"),
    ("mean_control", "sd_control", "n_control"),
    ("mean_before", "sd_before", "n"),
    ("mean_after", "sd_after", "n"),
    ("mean_before_treated", "sd_before_treated", "n_treated"),
    ("mean_before_control", "sd_before_control", "n_control"),
)
PEERS = 3  # studies on the same scale needed to call one of them odd


def doubt(item: Effect, code: str, message: str, column: str | None = None, severity: str = "warn") -> Fault:
    """A doubt about one effect."""
    return Fault(message, item.row, column, item.study, item.endpoint, severity, code)


def _weight(item: Effect, options: Options) -> str:
    """Whether peers are surely on one scale: with no unit, studies of an SMD may use different instruments."""
    return "acknowledge" if item.cells.get("unit") or options.measure not in STANDARDISED else "warn"


def number(item: Effect, column: str) -> float | None:
    """A cell of the effect's row as a number."""
    value = item.cells.get(column)
    return value if isinstance(value, float) else None


def row_doubts(items: Sequence[Effect], options: Options) -> list[Fault]:
    """What is odd about each row by itself."""
    return [fault for item in items if item.cells for check in _ROW_CHECKS for fault in check(item, options)]


def _small(item: Effect, options: Options) -> Iterator[Fault]:
    """F20: few degrees of freedom."""
    if options.measure not in STANDARDISED:
        return
    n1, n2, n = (number(item, c) for c in ("n_treated", "n_control", "n"))
    df = n1 + n2 - 2 if n1 is not None and n2 is not None else n - 1 if n is not None else None
    if df is not None and df < 10:
        yield doubt(
            item, "F20", f"{df:g} degrees of freedom: the variance of a standardised effect is unreliable below 10"
        )


def _interval(item: Effect, options: Options) -> Iterator[Fault]:
    """F28: an interval that is not symmetric about the estimate it belongs to."""
    lower, upper = number(item, "ci_lower"), number(item, "ci_upper")
    estimate = next((v for c in ("smd", "md", "y") if (v := number(item, c)) is not None), None)
    if lower is None or upper is None or estimate is None or "CI" not in item.derivation or upper <= lower:
        return
    lean = (lower + upper - 2 * estimate) / (upper - lower)
    if abs(lean) > 0.1:
        yield doubt(item, "F28", f"the interval ({lower:g}, {upper:g}) is not symmetric about {estimate:g} (off by "
                    f"{100 * abs(lean):.0f} % of its width): a slip, or limits of a ratio that should be logarithms?",
                    "ci_lower", "acknowledge")  # fmt: skip


def _spread(item: Effect, options: Options) -> Iterator[Fault]:
    """F26, F27: the SE of a printed SMD against the one its group sizes give."""
    n1, n2 = number(item, "n_treated"), number(item, "n_control")
    if options.measure != "SMD" or not item.derivation.startswith("as reported") or n1 is None or n2 is None:
        return
    expected = 1 / n1 + 1 / n2 + item.y**2 / (2 * (n1 + n2))
    column = next((c for c in ("se", "variance", "ci_lower") if number(item, c) is not None), None)
    ratio = item.se**2 / expected
    if column is None or 0.8 <= ratio <= 4:
        return
    typical = f"two groups of {n1:g} and {n2:g} give SE {math.sqrt(expected):.3g}, variance {expected:.3g}"
    if column == "se" and 0.8 <= item.se / expected <= 1.25:
        yield doubt(item, "F27", f"SE {item.se:.3g}: {typical}. Is this a variance?", column, "acknowledge")
    elif column == "variance" and 0.8 <= item.se**4 / expected <= 1.25:
        yield doubt(item, "F27", f"variance {item.se**2:.3g}: {typical}. Is this an SE?", column, "acknowledge")
    elif ratio > 4:
        yield doubt(item, "F26", f"SE {item.se:.3g} is {math.sqrt(ratio):.1f} times too large: {typical}. Is this an "
                    "SD?", column, "acknowledge")  # fmt: skip
    else:
        yield doubt(item, "F26", f"SE {item.se:.3g} is smaller than the group sizes allow without adjustment: "
                    f"{typical}", column)  # fmt: skip


def _grim(item: Effect, options: Options) -> Iterator[Fault]:
    """GRIM: a mean of whole numbers that no whole sum gives (Brown and Heathers 2017)."""
    if item.cells.get("whole_numbers") != "yes":
        return
    for mean, _, size in _MEANS_AND_SDS:
        value, n = number(item, mean), number(item, size)
        if value is None or n is None:
            continue
        half = 0.5 * 10.0 ** min(int(Decimal(repr(value)).normalize().as_tuple().exponent), 0)
        if n * half < 0.5 and abs(round(value * n) / n - value) > half * (1 + 1e-9):
            near = round(value * n)
            yield doubt(item, "GRIM", f"no {n:g} whole numbers have the mean {value:g} (nearest {near}/{n:g} = "
                        f"{near / n:.4f}): check the mean and the number of patients", mean)  # fmt: skip


def _scale(item: Effect, options: Options) -> Iterator[Fault]:
    """Means off a declared scale (SCALE); SDs too large for it (SCALE), or too small to be SDs (F25)."""
    low, high = number(item, "scale_min"), number(item, "scale_max")
    if low is None or high is None or not low < high:
        return
    change = item.cells.get("scores") == "change"
    for mean, sd, size in _MEANS_AND_SDS:
        m, s, n = number(item, mean), number(item, sd), number(item, size) or 2.0
        if m is not None and not change and not low <= m <= high:
            yield doubt(item, "SCALE", f"{m:g} is off the scale from {low:g} to {high:g}", mean, "acknowledge")
        if s is not None and not change and s > (high - low) / 2 * math.sqrt(n / max(n - 1, 1)):
            yield doubt(item, "SCALE", f"no scores between {low:g} and {high:g} have the SD {s:g}", sd, "acknowledge")
        if s is not None and s < 0.03 * (high - low):
            yield doubt(item, "F25", f"SD {s:g} is less than 3 % of the scale from {low:g} to {high:g}: is this a "
                        "standard error?", sd, "acknowledge")  # fmt: skip


def _discordant(item: Effect, options: Options) -> Iterator[Fault]:
    """F38: statistics printed beside means and SDs that give another effect."""
    if all(item.cells.get(c) is None for c in ("t", "f_value", "p_value", "smd", "md")):
        return
    arms = [number(item, c) for c in ("mean_treated", "sd_treated", "n_treated",
                                      "mean_control", "sd_control", "n_control")]  # fmt: skip
    if any(v is None for v in arms):
        return
    m1, s1, n1, m2, s2, n2 = (v or 0.0 for v in arms)
    if n1 + n2 < 5 or not s1 or not s2:
        return
    j, sd = float(hedges_j(n1 + n2 - 2)), float(pooled_sd(s1, n1, s2, n2))
    g = j * (m1 - m2) / sd
    t, f, p = number(item, "t"), number(item, "f_value"), number(item, "p_value")
    smd, md = number(item, "smd"), number(item, "md")
    others = {
        "t": None if t is None else j * recover.d_from_t(abs(t), n1, n2),
        "f_value": None if f is None or f < 0 else j * recover.d_from_f(f, n1, n2),
        "p_value": None if p is None or not 0 < p < 1 else j * recover.d_from_p(p, n1, n2),
        "smd": smd,
        "md": None if md is None else j * md / sd,
    }
    for column, other in others.items():
        unsigned = column in ("t", "f_value", "p_value")
        if other is not None and abs((abs(g) if unsigned else g) - other) > 0.1:
            size = "|g|" if unsigned else "g"
            yield doubt(item, "F38", f"means and SDs give g = {g:.3g}, but {column} = {number(item, column):g} gives "
                        f"{size} = {other:.3g}: one of them is wrong", column)  # fmt: skip


_ROW_CHECKS: tuple[Callable[[Effect, Options], Iterator[Fault]], ...] = (
    _small,
    _interval,
    _spread,
    _grim,
    _scale,
    _discordant,
)


def shared_scale_doubts(items: Sequence[Effect], options: Options) -> list[Fault]:
    """F24, F27, F34: SDs and means against those of the other studies on the same scale."""
    if options.measure not in (*STANDARDISED, "MD", "ROM"):
        return []
    factors = [options.units.get(i.endpoint, {}).get(str(i.cells.get("unit") or ""), 1.0) for i in items]
    sds = [[(c, s * factor, number(i, size)) for _, c, size in _MEANS_AND_SDS if (s := number(i, c))]
           for i, factor in zip(items, factors, strict=True)]  # fmt: skip
    typical = [math.exp(statistics.fmean(math.log(s) for _, s, _ in own)) if own else None for own in sds]
    found = []
    for item, own, peers in zip(items, sds, _peers(typical), strict=True):
        if peers is not None:
            found += [
                f
                for column, sd, n in own
                if (f := _odd_sd(item, column, sd, n, *peers, _weight(item, options))) is not None
            ]
    return found + _odd_levels(items, factors, {f.study for f in found}, options)


def _peers(values: Sequence[float | None]) -> list[tuple[float, int] | None]:
    """For each study the median of the others and how many they are; of a great many, the median of all will do."""
    known = [v for v in values if v is not None]
    if len(known) <= PEERS:
        return [None] * len(values)
    if len(known) > 200:
        everyone = statistics.median(known)
        return [(everyone, len(known) - 1)] * len(values)
    return [None if v is None else _without(known, v) for v in values]


def _without(known: Sequence[float], value: float) -> tuple[float, int]:
    others = list(known)
    others.remove(value)
    return statistics.median(others), len(others)


def _odd_sd(
    item: Effect, column: str, sd: float, n: float | None, median: float, k: int, severity: str
) -> Fault | None:
    ratio = sd / median
    said = f"{k} other studies on this scale (median {median:.3g})"
    if ratio < 1 / 4:
        as_sd = sd * math.sqrt(n) if n else 0.0
        less = f"SD {sd:.3g} is {1 / ratio:.0f} times smaller than in the {said}"
        if 0.5 <= as_sd / median <= 2:
            message = f"{less}; {sd:.3g} sqrt({n:g}) = {as_sd:.3g}: is this a standard error?"
            return doubt(item, "F24", message, column, severity)
        return doubt(item, "F34", f"{less}: another unit?", column, severity) if ratio <= 1 / 5 else None
    if ratio > 4:
        more = f"SD {sd:.3g} is {ratio:.0f} times larger than in the {said}"
        if 0.5 <= math.sqrt(sd) / median <= 2:
            return doubt(item, "F27", f"{more}; its root is {math.sqrt(sd):.3g}: is this a variance?", column,
                         severity)  # fmt: skip
        return doubt(item, "F34", f"{more}: another unit?", column, severity) if ratio >= 5 else None
    return None


def _odd_levels(items: Sequence[Effect], factors: Sequence[float], told: set[str], options: Options) -> list[Fault]:
    """F34 by the means: only of final values that are all above zero."""
    levels: list[float | None] = []
    columns: list[str] = []
    for item, factor in zip(items, factors, strict=True):
        means = {c: m * factor for c, _, _ in _MEANS_AND_SDS if (m := number(item, c)) is not None}
        final = means and item.cells.get("scores") != "change" and item.cells.get("mean_change") is None
        if final and min(means.values()) <= 0:
            return []
        levels.append(max(means.values()) if final else None)
        columns.append(max(means, key=lambda c: means[c]) if final else "")
    found = []
    medians = _peers(levels)
    for k, item in enumerate(items):
        peers, level = medians[k], levels[k]
        if peers is None or level is None or item.study in told:
            continue
        ratio = level / peers[0]
        if not 1 / 5 < ratio < 5:
            size = f"{ratio:.0f} times larger" if ratio > 1 else f"{1 / ratio:.0f} times smaller"
            message = (f"the mean {level:.3g} is {size} than in the {peers[1]} other studies on this scale (median "
                       f"{peers[0]:.3g}): another unit?")  # fmt: skip
            found.append(doubt(item, "F34", message, columns[k], _weight(item, options)))
    return found
