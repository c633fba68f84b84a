"""Effects from means and SDs: of two arms, of one group before and after, of two arms before and after."""

from __future__ import annotations

import math
from dataclasses import replace

from metastrata.errors import Fault
from metastrata.evidence import recover
from metastrata.evidence.derive_tests import converted
from metastrata.evidence.recipes import INDEPENDENT, Options, Origin, Recipe, missing, too_few, values
from metastrata.evidence.studies import Row

NO_R = (
    "the pre-post correlation r is not known and the variance needs it: give r or sd_change in the row, or r for the "
    "analysis (a value, or 'independent' to treat before and after as two groups, as RevMan does); then see how the "
    "result changes with r = 0.3, 0.5, 0.7"
)
_TWO = ("mean_treated", "sd_treated", "n_treated", "mean_control", "sd_control", "n_control")
_TRIAL = {
    "SMD": ("smd", "Hedges g from means and SDs"),
    "SMDH": ("smdh", "SMDH from means and SDs, standardised by the mean of the two variances"),
    "SMD1": ("smd1", "Glass's Delta from means and SDs, standardised by the SD of the control group"),
}
_PPC = {
    "PPC2": ("ppc2", "d_PPC2 (Morris 2008)"),
    "SMCRD": ("smcrd", "difference of two SMCR (Becker 1988)"),
}


def from_arms(row: Row, options: Options) -> Recipe | list[Fault]:
    """The effect of a trial from the means and SDs of its arms."""
    if options.measure in _PPC:
        return _from_four_means(row, options)
    if options.measure == "SMCC" and row.text("scores") != "change":
        return [replace(row.fault("SMCC is the change of one group in SDs of the change: final values of two arms are "
                                  "on another scale (choose measure SMD)", "scores"), code="F32")]  # fmt: skip
    faults = missing(row, _TWO)
    if faults:
        return faults
    numbers = values(row, _TWO)
    if options.measure == "MD":
        return Recipe("md", numbers, "MD of two arms", metric="other")
    if options.measure == "ROM":
        return _ratio(row, "rom", numbers, ("mean_treated", "mean_control"), "log ratio of two means")
    df = numbers[5] - 1 if options.measure == "SMD1" else numbers[2] + numbers[5] - 2
    faults = too_few(row, df, "the control group" if options.measure == "SMD1" else "the two arms")
    if faults:
        return faults
    change = row.text("scores") == "change"
    if change and options.measure in ("SMD", "SMCC"):
        done = Recipe("smd", numbers, "Hedges g from change scores, standardised by the SD of change", metric="change")
        return done if options.measure == "SMCC" else converted(row, done, options)
    formula, text = _TRIAL[options.measure]
    arguments = (numbers[0], *numbers[2:]) if formula == "smd1" else numbers
    done = Recipe(formula, arguments, text)
    return converted(row, done, options) if change else done


def _ratio(
    row: Row, formula: str, numbers: tuple[float, ...], means: tuple[str, str], text: str
) -> Recipe | list[Fault]:
    wrong = [c for c in means if (row.value(c) or 0.0) <= 0]
    if wrong:
        return [row.fault(f"{c} = {row.value(c):g}: a ratio of means needs means above 0, on a scale with a true zero",
                          c) for c in wrong]  # fmt: skip
    return Recipe(formula, numbers, text, metric="other")


def _from_four_means(row: Row, options: Options) -> Recipe | list[Fault]:
    """Two arms before and after: the difference of their changes in SDs before."""
    change = row.text("scores") == "change"
    needed = ["mean_treated", "sd_before_treated", "n_treated", "mean_control", "sd_before_control", "n_control"]
    faults = missing(row, (*needed, *(() if change else ("mean_before_treated", "mean_before_control"))))
    if faults:
        return faults
    m1, s1, n1, m2, s2, n2 = values(row, tuple(needed))
    faults = too_few(row, min(n1, n2) - 1, f"{min(n1, n2):g} patients in an arm")
    r = row.value("r") if row.value("r") is not None else options.r
    arms = values(row, ("r_treated", "r_control"))
    if row.value("r") is None and len(arms) == 2 and arms[0] != arms[1]:
        message = (f"the arms have two correlations ({arms[0]:.3g}, {arms[1]:.3g}); {options.measure} takes one for "
                   "both: give r")  # fmt: skip
        faults.append(replace(row.fault(message, "r"), code="F31"))
    elif not isinstance(r, float):
        faults.append(replace(row.fault(NO_R, "r"), code="F31"))
    if faults or not isinstance(r, float):
        return faults
    b1, b2 = (0.0, 0.0) if change else values(row, ("mean_before_treated", "mean_before_control"))
    formula, text = _PPC[options.measure]
    origin: Origin = "derived" if row.value("r") is not None else "assumed"
    whose = "printed" if origin == "derived" else "plan"
    return Recipe(formula, (m1, b1, s1, n1, m2, b2, s2, n2, r), f"{text}, r = {r:g} ({whose})", origin)


def from_before_after(row: Row, options: Options) -> Recipe | list[Fault]:
    """The effect of one group from its means and SDs before and after, or from its mean change."""
    if row.value("mean_change") is not None and (row.value("mean_before") is None or row.value("mean_after") is None):
        return _from_mean_change(row, options)
    needs_after = options.measure in ("MD", "ROM", "SMCC") or options.r == INDEPENDENT or options.before_after != "SMCR"
    needed = ("mean_after", "mean_before", "sd_before", "n") + (("sd_after",) if needs_after else ())
    faults = missing(row, needed)
    if faults:
        return faults
    after, before, sd_before, n = values(row, needed)[:4]
    faults = too_few(row, n - 1, f"{n:g} patients")
    if faults:
        return faults
    if options.r == INDEPENDENT:
        return _independent(row, options, (after, row.value("sd_after") or math.nan, n, before, sd_before, n))
    found = _correlation(row, options)
    if isinstance(found, Fault):
        return [found]
    return _paired(row, options, (after, before, sd_before, n), *found)


def _independent(row: Row, options: Options, numbers: tuple[float, ...]) -> Recipe | list[Fault]:
    text = "before and after taken as two independent groups (as RevMan)"
    if options.measure == "SMCC":
        return [row.fault("SMCC needs the correlation of before and after: r = 'independent' leaves it undefined", "r")]
    if options.measure == "ROM":
        found = _ratio(row, "rom", numbers, ("mean_after", "mean_before"), f"log ratio of two means, {text}")
        return replace(found, origin="assumed") if isinstance(found, Recipe) else found
    if options.measure == "MD":
        return Recipe("md", numbers, text, "assumed", metric="other")
    return Recipe("smd", numbers, text, "assumed")


def _paired(
    row: Row, options: Options, numbers: tuple[float, ...], r: float, origin: Origin, whose: str
) -> Recipe | list[Fault]:
    after, before, sd_before, n = numbers
    sd_after = row.value("sd_after") or math.nan
    text = f"r = {r:g} ({whose})"
    all_of_them = (after, before, sd_after, sd_before, n, r)
    if options.measure == "MD":
        return Recipe("mc", all_of_them, f"mean change, {text}", origin, metric="other")
    if options.measure == "ROM":
        means = ("mean_after", "mean_before")
        found = _ratio(row, "romc", all_of_them, means, f"log ratio of the means after and before, {text}")
        return replace(found, origin=origin) if isinstance(found, Recipe) else found
    if options.measure == "SMCC":
        return Recipe("smcc", all_of_them, f"SMCC, standardised by the SD of the change, {text}", origin,
                      metric="change")  # fmt: skip
    if options.before_after == "SMCRH":
        return Recipe("smcrh", all_of_them, f"SMCRH, standardised by the SD before, {text}", origin)
    if options.before_after == "SMCRP":
        return Recipe("smcrp", all_of_them, f"SMCRP, standardised by the SD pooled over before and after, {text}",
                      origin)  # fmt: skip
    return Recipe("smcr", (after, before, sd_before, n, r), f"SMCR, standardised by the SD before, {text}", origin)


def _correlation(row: Row, options: Options) -> tuple[float, Origin, str] | Fault:
    """The correlation of before and after: printed, from the SD of change or the paired test, or of the plan."""
    r = row.value("r")
    if r is not None:
        return r, "derived", "printed"
    how, column = "from the SD of change", "sd_change"
    sds = values(row, ("sd_before", "sd_after", "sd_change"))
    if len(sds) == 2 and row.value("sd_change") is None:
        spread = _change_from_test(row)
        if spread is not None:
            sds, how, column = (*sds, spread[0]), f"from the paired {spread[1]}", spread[1]
    if len(sds) < 3:
        if isinstance(options.r, float):
            return options.r, "assumed", "plan"
        return replace(row.fault(NO_R, "r"), code="F31")
    found = recover.r_from_sd_change(*sds)
    if -1 < found < 1:
        return found, "derived", how
    what = "sd_change" if column == "sd_change" else column
    shown = f"sd_before, sd_after and {what} give r = {found:.3g}, which is no correlation"
    return replace(row.fault(shown, column), code="F30")


def _change_from_test(row: Row) -> tuple[float, str] | None:
    """SD of the change from a paired t or p, and the column it came from."""
    after, before, n = (row.value(c) for c in ("mean_after", "mean_before", "n"))
    if after is None or before is None or n is None or after == before:
        return None
    t, p = row.value("t"), row.value("p_value")
    if t:
        return recover.sd_change_from_t(after - before, t, n), "t"
    if p is not None and 0 < p < 1 and recover.t_from_p(p, n - 1) != 0:
        return recover.sd_change_from_p(after - before, p, n), "p_value"
    return None


def _from_mean_change(row: Row, options: Options) -> Recipe | list[Fault]:
    """The mean change alone: with the SD before it is raw, with the SD of the change it is not."""
    change, n = row.value("mean_change") or 0.0, row.value("n")
    if n is None:
        return missing(row, ("n",))
    faults = too_few(row, n - 1, f"{n:g} patients")
    if faults:
        return faults
    if options.measure == "ROM":
        return missing(row, ("mean_before", "mean_after"))
    sd_before, sd_change = row.value("sd_before"), row.value("sd_change")
    if options.measure == "MD":
        faults = missing(row, ("sd_change",))
        return faults or Recipe("mc", (change, 0.0, sd_change or 0.0, 0.0, n, 0.0), "mean change and its SD",
                                metric="other")  # fmt: skip
    if sd_before is not None and options.measure != "SMCC" and options.r != INDEPENDENT:
        found = _correlation(row, options)
        if not isinstance(found, Fault):
            return _paired(row, options, (change, 0.0, sd_before, n), *found)
        if sd_change is None:
            return [found]
    if sd_change is None:
        return missing(row, ("sd_change",), "or sd_before with r")
    text = "mean change in SDs of the change"
    done = Recipe("smcc_from_d", (change / sd_change, n), text, metric="change")
    return done if options.measure == "SMCC" else converted(row, done, options)
