"""Effects from what is printed of a test or a difference: a mean difference, t, F, p, an interval."""

from __future__ import annotations

import math
from dataclasses import replace

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.recipes import ARM_SIZES, Options, Recipe, missing, too_few, values
from metastrata.evidence.studies import Row

NO_R_FOR_CHANGE = (
    "change scores are to be put on the raw-score scale, d_raw = d_change sqrt(2(1 - r)); that needs the pre-post "
    "correlation: give r in the row or for the analysis"
)
NO_SIGN = (
    "the sign is not known, F and p have none: say direction = 'higher' or 'lower' (treated against control, or after "
    "against before)"
)


def converted(row: Row, done: Recipe, options: Options) -> Recipe | list[Fault]:
    """An effect in SDs of the change, put on the raw-score scale if that is asked for (F32)."""
    if options.change_scores != "convert":
        return replace(done, metric="change")
    printed = row.value("r")
    r, whose = (printed, "printed") if printed is not None else (options.r, "plan")
    if not isinstance(r, float):
        return [replace(row.fault(NO_R_FOR_CHANGE, "r"), code="F32")]
    factor = math.sqrt(2 * (1 - r))
    text = f"{done.text}, put on the raw-score scale by sqrt(2(1 - r)) = {factor:.3g} with r = {r:g} ({whose})"
    origin = done.origin if whose == "printed" else "assumed"
    return replace(done, text=text, origin=origin, scale=done.scale * factor, metric="raw")


def has_test(row: Row) -> bool:
    """Whether the row prints the statistic of a test."""
    return any(row.value(column) is not None for column in ("t", "f_value", "p_value"))


def signed_t(row: Row, df: float, difference: float | None) -> tuple[float, str] | Fault:
    """The t statistic of the row with its sign, and where it came from.

    The sign is that of `direction`, or of the difference of the means, or of t itself; F and p have none.
    """
    said = {"higher": 1, "lower": -1}.get(row.text("direction"))
    sign = said if said is not None else (None if not difference else 1 if difference > 0 else -1)
    t, f, p = row.value("t"), row.value("f_value"), row.value("p_value")
    if t is not None:
        if sign is not None and t < 0 < sign:
            return replace(row.fault(f"t = {t:g} is negative, but the treated (or after) is said to be higher", "t"),
                           code="F38")  # fmt: skip
        return (t if sign is None else sign * abs(t)), f"t = {t:g}"
    if sign is None:
        return row.fault(NO_SIGN, "direction", code="F16")
    if f is not None:
        if f < 0:
            return row.fault(f"F = {f:g} is negative: it cannot be", "f_value", code="F05")
        return sign * math.sqrt(f), f"F = {f:g} (one degree of freedom)"
    if p is None or not 0 < p < 1:
        return row.fault(
            f"p = {p or 0:g} determines no t: write the p-value as printed, or leave it out", "p_value", code="F05"
        )
    return recover.t_from_p(p, df, sign), f"p = {p:g}, two-sided"


def from_test(row: Row, options: Options, *, paired: bool) -> Recipe | list[Fault]:
    """SMD from t, F or p: of two independent groups, or of the change in one."""
    needed = ("n",) if paired else ARM_SIZES
    faults = missing(row, needed)
    if faults:
        return faults
    sizes = values(row, needed)
    df = sum(sizes) - len(sizes)
    faults = too_few(row, df, f"{sizes[0]:g} patients" if paired else "the two arms")
    if faults:
        return faults
    one, two = ("mean_after", "mean_before") if paired else ("mean_treated", "mean_control")
    first, second = row.value(one), row.value(two)
    found = signed_t(row, df, first - second if first is not None and second is not None else row.value("mean_change"))
    if isinstance(found, Fault):
        return [found]
    t, how = found
    if not paired:
        done = Recipe("smd_from_d", (recover.d_from_t(t, *sizes), *sizes), f"Hedges g from {how}")
        return converted(row, done, options) if row.text("scores") == "change" else done
    text = f"mean change in SDs of the change from the paired {how}"
    return converted(row, Recipe("smcc_from_d", (t / math.sqrt(sizes[0]), *sizes), text), options)


def standard_error(row: Row, estimate: float, df: float | None) -> tuple[float, str] | list[Fault]:
    """SE of a printed estimate and where it came from: printed, or from the variance, the interval, t or p."""
    se, variance = row.value("se"), row.value("variance")
    if se is not None:
        return se, "SE as printed"
    if variance is not None:
        return math.sqrt(variance), "SE from the variance"
    has_interval = row.value("ci_lower") is not None or row.value("ci_upper") is not None
    if not has_interval and (row.value("t") is not None or row.value("p_value") is not None):
        return _se_from_test(row, estimate, df)
    return _se_from_interval(row, estimate, df)


def _se_from_test(row: Row, estimate: float, df: float | None) -> tuple[float, str] | list[Fault]:
    t, p = row.value("t"), row.value("p_value")
    use_t = df if row.text("ci_distribution") == "t" and df is not None and df >= 1 else None
    possible = bool(t) if t is not None else 0 < (p or 0) < 1 and recover.t_from_p(p or 1.0, use_t) != 0
    if estimate == 0 or not possible:
        what = f"t = {t:g}" if t is not None else f"p = {p:g}"
        return [row.fault(f"{what} and an estimate of {estimate:g} determine no SE: give se or the interval",
                          "t" if t is not None else "p_value", code="F05")]  # fmt: skip
    if t is not None:
        return abs(estimate / t), f"SE = estimate / t, t = {t:g}"
    kind = "normal" if use_t is None else f"t({use_t:g})"
    return recover.se_from_p(estimate, p or 1.0, use_t), f"SE from p = {p:g}, two-sided ({kind})"


def _se_from_interval(row: Row, estimate: float, df: float | None) -> tuple[float, str] | list[Fault]:
    faults = missing(row, ("ci_lower", "ci_upper"), "or give se")
    if faults:
        return faults
    lower, upper = values(row, ("ci_lower", "ci_upper"))
    if not lower < upper:
        wrong = row.fault(f"lower limit {lower:g} is not below upper limit {upper:g}", "ci_lower")
        return [replace(wrong, code="F28")]
    if not lower < estimate < upper:
        wrong = row.fault(f"the estimate {estimate:g} lies outside its interval ({lower:g}, {upper:g})", "ci_lower")
        return [replace(wrong, code="F28")]
    level = row.value("ci_level")
    if level is None:
        wrong = row.fault("the level of the confidence interval is not given (95? 90?)", "ci_level")
        return [replace(wrong, code="F29")]
    if row.text("ci_distribution") == "t" and (df is None or df < 1):
        return [row.fault("a t interval needs the group sizes", "ci_distribution", code="F16")]
    use_t = row.text("ci_distribution") == "t"
    kind = f"t({df:g})" if use_t and df else "normal"
    return recover.se_from_ci(lower, upper, level, df if use_t else None), f"SE from the {level:g} % CI ({kind})"


def from_md(row: Row) -> Recipe | list[Fault]:
    """SMD from a mean difference: its SE and the group sizes give the common SD."""
    faults = missing(row, ARM_SIZES)
    md = row.value("md")
    if faults or md is None:
        return faults
    n1, n2 = values(row, ARM_SIZES)
    faults = too_few(row, n1 + n2 - 2, "the two arms")
    printed = any(row.value(column) is not None for column in ("se", "variance"))
    by_test = row.value("ci_lower") is None and row.value("t") is not None
    if not printed and not by_test and not row.text("ci_distribution"):
        faults.append(row.fault("say whether the interval is normal ('z', as RevMan prints) or 't' (as most papers "
                                "print): with small groups the SDs differ", "ci_distribution", code="F29"))  # fmt: skip
    if faults:
        return faults
    found = standard_error(row, md, n1 + n2 - 2)
    if isinstance(found, list):
        return found
    se, how = found
    d = recover.d_from_md(md, se, n1, n2)
    return Recipe("smd_from_d", (d, n1, n2), f"Hedges g from the mean difference, {how}")


__all__ = ["NO_R_FOR_CHANGE", "NO_SIGN", "converted", "from_md", "from_test", "has_test", "signed_t",
           "standard_error"]  # fmt: skip
