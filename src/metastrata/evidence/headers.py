"""What the columns of a study table are called: our names, those of metafor and meta, and slips of the pen."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from metastrata.errors import Fault, nearest
from metastrata.evidence.columns import ALIASES, COLUMNS

# metafor writes two occasions of one group with the names of two groups: escalc(measure = "SMCR") computes
# (m1i - m2i) / sd1i, so m1i is the mean after, m2i the mean before and sd1i the SD before.
TWO_OCCASIONS = {"m1i": "mean_after", "m2i": "mean_before", "sd1i": "sd_before", "sd2i": "sd_after"}
OCCASIONS_NOTE = (
    "with ni and without n1i, m1i is read as the mean after, m2i as the mean before and sd1i as the SD before, because "
    "metafor's escalc computes (m1i - m2i) / sd1i; if yours stand the other way round, call them mean_before, "
    "mean_after, sd_before and sd_after"
)


def read_header(header: Sequence[str], required: Sequence[str]) -> tuple[list[str], list[Fault], list[Fault]]:
    """Our names of the columns, with what is wrong with them and what is worth knowing.

    A misspelt column gets the name it was meant to have, so that the checks that follow look at its values.
    """
    names = [column_name(name, header) for name in header]
    faults = [
        Fault(f"column '{n}' stands twice", 1, n, code="F02") for n in dict.fromkeys(names) if n and names.count(n) > 1
    ]
    for i, name in enumerate(names):
        meant = _misspelt(name, names)
        if meant:
            advice = f"did you mean '{meant}'? If not, give it a name less alike"
            faults.append(Fault(f"column '{name}' is not known; {advice}", 1, name, code="F02"))
            names[i] = meant
    others = [name for name in names if name and name not in COLUMNS]
    for name in required:
        if name not in names:
            found = ", ".join(name for name in header if name)
            message = f"column '{name}' is missing{nearest(name, others)} (found: {found})"
            faults.append(Fault(message, 1, name, code="F02"))
    notes = [Fault(OCCASIONS_NOTE, 1, "m1i", severity="warn")] if "m1i" in header and _two_occasions(header) else []
    return names, faults, notes


def column_name(name: str, header: Sequence[str]) -> str:
    """Our name for a column: its own, or the one metafor's or meta's name stands for."""
    folded = name.casefold()
    if folded in COLUMNS:
        return folded
    if name == "ci" and "ai" not in header:
        return name  # beside ai, metafor's ci is a count; alone it is more likely a confidence interval
    alias = ALIASES.get(name, "")
    if name in TWO_OCCASIONS and _two_occasions(header):
        alias = TWO_OCCASIONS[name]
    return alias if alias and alias not in header else name


def _two_occasions(header: Sequence[str]) -> bool:
    return "ni" in header and not {"n1i", "n2i", "n_treated", "n_control"} & set(header)


def _misspelt(name: str, names: Sequence[str]) -> str:
    """The column meant by a name that is nearly one of ours: passed over in silence, its values would be lost."""
    if not name or name in COLUMNS:
        return ""
    match = difflib.get_close_matches(name.casefold(), [c for c in COLUMNS if c not in names], n=1, cutoff=0.8)
    return match[0] if match else ""
