"""The columns a study table may have: their names, what a cell must hold, and metafor's names for them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "number", "count", "sd", "se", "correlation", "level", "choice", "probability"]
Cell = float | str | None


@dataclass(frozen=True)
class Column:
    """One column: its name, the kind of value it holds, and other names it goes by."""

    name: str
    kind: Kind
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


# What may stand in place of the mean and SD of an arm, or of one occasion: se_treated, q1_before, ...
ARM_NAMES = ("treated", "control", "before", "after", "change")
PRINTED_OF_AN_ARM: dict[str, Kind] = {
    "se": "se",
    "ci_lower": "number",
    "ci_upper": "number",
    "median": "number",
    "q1": "number",
    "q3": "number",
    "min": "number",
    "max": "number",
}
COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("study", "text", ("slab", "studlab")),
        Column("design", "text", ("subgroup",)),
        Column("endpoint", "text", ("outcome",)),
        Column("include", "text"),
        Column("unit", "text"),
        Column("better", "choice", choices=("lower", "higher")),
        Column("year", "number"),
        Column("timepoint_months", "number"),
        # a trial: two arms
        Column("n_treated", "count", ("n1i", "n.e")),
        Column("mean_treated", "number", ("m1i", "mean.e")),
        Column("sd_treated", "sd", ("sd1i", "sd.e")),
        Column("n_control", "count", ("n2i", "n.c")),
        Column("mean_control", "number", ("m2i", "mean.c")),
        Column("sd_control", "sd", ("sd2i", "sd.c")),
        Column("scores", "choice", choices=("final", "change")),
        # one group, before and after
        Column("n", "count", ("ni",)),
        Column("mean_before", "number"),
        Column("sd_before", "sd"),
        Column("mean_after", "number"),
        Column("sd_after", "sd"),
        Column("mean_change", "number"),
        Column("sd_change", "sd"),
        Column("r", "correlation", ("ri",)),
        # two groups, before and after: the means and SDs before; those after are mean_treated, mean_control
        Column("mean_before_treated", "number"),
        Column("sd_before_treated", "sd"),
        Column("mean_before_control", "number"),
        Column("sd_before_control", "sd"),
        Column("r_treated", "correlation"),
        Column("r_control", "correlation"),
        # the same with each arm in a row of its own: n, mean_before, mean_after, ... of this arm
        Column("arm", "choice", choices=("treated", "control")),
        # what stands in place of a mean and an SD
        *(Column(f"{what}_{of}", kind) for of in ARM_NAMES for what, kind in PRINTED_OF_AN_ARM.items()),
        Column("median_age", "text"),  # a moderator, and not median_after misspelt
        # counts
        Column("events_treated", "count", ("ai", "x1i", "event.e")),
        Column("events_control", "count", ("event.c", "x2i", "ci")),
        Column("time_treated", "number", ("t1i", "time.e")),
        Column("time_control", "number", ("t2i", "time.c")),
        Column("events", "count", ("xi", "event")),
        Column("person_time", "number", ("person_years",)),
        # an effect as printed
        Column("md", "number"),
        Column("smd", "number"),
        Column("smd_type", "choice", choices=("g", "d")),
        Column("y", "number", ("yi", "TE")),
        Column("se", "se", ("sei", "seTE")),
        Column("variance", "se", ("vi",)),
        Column("ci_lower", "number"),
        Column("ci_upper", "number"),
        Column("ci_level", "level"),
        Column("ci_distribution", "choice", choices=("z", "t")),
        Column("t", "number"),
        Column("f_value", "number"),
        Column("p_value", "probability"),
        Column("direction", "choice", choices=("higher", "lower")),
        # what the checks ask
        Column("overlap", "text"),
        Column("shared_control", "text"),
        Column("whole_numbers", "choice", choices=("yes", "no")),
        Column("checked", "choice", choices=("yes", "no")),
        Column("scale_min", "number"),
        Column("scale_max", "number"),
        # where it comes from
        Column("source", "text"),
        Column("note", "text"),
    )
}
ALIASES: dict[str, str] = {alias: column.name for column in COLUMNS.values() for alias in column.aliases}
LARGEST = 1e50  # beyond it, or below its inverse, a cell is no measurement, and its powers are no longer numbers
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# What word processors and PDF put where a minus, or a space, should be.
_TYPOGRAPHY = str.maketrans({"\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": " ", "\ufeff": ""})


def clean(text: str) -> str:
    """Normalise Unicode (NFC), typographic minus signs and non-breaking spaces, and trim."""
    return unicodedata.normalize("NFC", text).translate(_TYPOGRAPHY).strip()


class CellError(ValueError):
    """A cell that cannot be read: the code of the fault and a plain sentence."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def read_cell(column: Column, text: str, decimal: str = ".") -> Cell:
    """Read one cell.

    Parameters
    ----------
    column : Column
        What the cell must hold.
    text : str
        The cell as written. An empty cell is None.
    decimal : {".", ","}
        The decimal mark of numbers.

    Raises
    ------
    CellError
        With a plain sentence, if the text is not what the column holds.
    """
    value = clean(text)
    if not value:
        return None
    if column.kind == "text":
        # Names and notes keep their typographic dashes; only the form and the margins are normalised.
        return unicodedata.normalize("NFC", text).strip()
    if column.kind == "choice":
        if value.casefold() not in column.choices:
            raise CellError("F05", f"'{text.strip()}' is not one of: {', '.join(column.choices)}")
        return value.casefold()
    if decimal == ",":
        if "." in value:
            raise CellError("F03", f"'{text.strip()}' has a point, but the decimal mark is declared to be ','")
        value = value.replace(",", ".")
    if not _NUMBER.fullmatch(value):
        code, complaint = _not_a_number(text.strip())
        raise CellError("F18" if column.kind == "count" and code == "F05" else code, complaint)
    number = float(value)
    if not abs(number) < LARGEST:
        raise CellError("F17", f"'{text.strip()}' is too large to be a number")
    if number and abs(number) < 1 / LARGEST:
        raise CellError("F17", f"'{text.strip()}' is too small to be anything but a slip")
    code, complaint = _out_of_range(column, number, text.strip())
    if complaint:
        raise CellError(code, complaint)
    return number


def as_written(text: str, decimal: str) -> str | None:
    """A cell of a column metastrata does not know: its text, with a decimal point if it is a number."""
    value = clean(text)
    if decimal == "," and "." not in value and _NUMBER.fullmatch(value.replace(",", ".")):
        return value.replace(",", ".")
    return text.strip() or None


def as_number(cell: Cell) -> float | None:
    """A cell of a column of any kind as a number, None if it is empty or something else."""
    if isinstance(cell, float) or cell is None:
        return cell
    value = clean(cell)
    return float(value) if _NUMBER.fullmatch(value) and abs(float(value)) < LARGEST else None


def _not_a_number(text: str) -> tuple[str, str]:
    value = clean(text)
    if re.fullmatch(r"[+-]?\d+,\d+", value):
        return "F03", f"'{text}' is not a number: write the decimal point as '.', not ',' (or declare decimal = \",\")"
    if re.fullmatch(r"[+-]?\d+(,\d+)?;.*", value):
        return "F03", f"'{text}' is not a number: is the file separated by ';'? Then declare sep = \";\""
    if value[0] in "<>\u2264\u2265" and _NUMBER.fullmatch(value[1:].strip()):
        return (
            "F05",
            f"'{text}' is a bound, not a number: put it in the note, and leave the cell empty or ask the authors",
        )
    if re.fullmatch(rf"({_NUMBER.pattern})\s*[*\u2020\u2021\u00a7a-d%]+", value):
        return "F05", f"'{text}' is a number with a mark: write the number alone, and what the mark means in the note"
    if value.casefold().lstrip("+-") in ("inf", "infinity", "\u221e"):
        return "F17", f"'{text}' is not a finite number: leave the cell empty if the value is not reported"
    code = len(value) <= 15 and not any(character.isdigit() for character in value)
    declare = f' (or declare it as a code: missing = ["{text}"])' if code else ""
    return "F05", f"'{text}' is not a number; leave the cell empty if the value is not reported{declare}"


def _out_of_range(column: Column, number: float, text: str) -> tuple[str, str]:
    """The code of what is wrong with a number in this column and why it cannot stand there, or two empty texts."""
    if column.kind == "count":
        if number < 0:
            return "F18", f"'{text}' is negative: a number of patients or events cannot be"
        if not number.is_integer():
            advice = "an effective size, as of a cluster trial, enters by its effect and SE (smd and se)"
            return "F18", f"'{text}' is not a whole number of patients or events; {advice}"
        if number == 0 and not column.name.startswith("events"):
            return "F18", "0 patients: leave the cell empty if the number is not reported"
    elif column.kind == "sd":
        if number < 0:
            return "F22", f"'{text}' is negative: a standard deviation cannot be"
        if number == 0:
            return "F21", "an SD of 0 means no variation between patients; usually a missing value or rounding"
    elif column.kind == "se":
        if number < 0:
            return "F22", f"'{text}' is negative: a standard error or variance cannot be"
        if number == 0:
            return "F23", "a standard error or variance of 0 would give this study infinite weight"
    elif column.kind == "correlation" and not -1 < number < 1:
        return "F30", f"'{text}' is not a correlation: it must lie between -1 and 1, without the ends"
    elif column.kind == "level" and not 50 <= number < 100:
        return "F29", f"'{text}' is not a confidence level in per cent, such as 95"
    elif column.kind == "probability" and not 0 <= number <= 1:
        return "F05", f"'{text}' is not a p-value: it must lie between 0 and 1"
    return "", ""
