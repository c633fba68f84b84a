"""The risk of bias of studies as data: judgements by domain, checked against the tool's own words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metastrata.errors import Fault, InputError, TableError, nearest
from metastrata.evidence.bias_tools import NOT_APPLICABLE, TOOLS, Tool, fold, guess, tool_named
from metastrata.evidence.columns import clean
from metastrata.evidence.studies import Studies
from metastrata.evidence.tables import Grid, TableChoices
from metastrata.evidence.tables_open import read_grid

if TYPE_CHECKING:
    import pandas as pd

STARS = {"Two stars": 2, "Star": 1}
_OVERALL, _WEIGHT, _STUDY = (
    ("overall", "overall bias", "overall risk of bias"),
    ("weight",),
    ("study", "slab", "studlab"),
)


@dataclass(frozen=True)
class Judged:
    """The judgements of one study.

    Attributes
    ----------
    study : str
    judgements : tuple of str
        One for each domain, in the order of `RiskOfBias.domains`; "" where none was made.
    overall : str
        The overall judgement; for the Newcastle-Ottawa scale the number of stars. "" if none was made.
    weight : float or None
        Weight of the study in a summary figure, if the file gives one.
    """

    study: str
    judgements: tuple[str, ...]
    overall: str = ""
    weight: float | None = None


@dataclass(frozen=True)
class RiskOfBias:
    """The risk of bias of a set of studies.

    Attributes
    ----------
    tool : str
    domains : tuple of str
        Short names of the domains, in the tool's order.
    labels : tuple of str
        The domains in words.
    categories : tuple of str
        Judgements the tool allows, from best to worst.
    items : tuple of Judged
    notes : tuple of Fault
        What deserves a reader's attention.
    """

    tool: str
    domains: tuple[str, ...]
    labels: tuple[str, ...]
    categories: tuple[str, ...]
    items: tuple[Judged, ...]
    notes: tuple[Fault, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies judged."""
        return tuple(item.study for item in self.items)

    def of(self, study: str) -> Judged | None:
        """The judgements of a study, None if it was not judged."""
        return next((item for item in self.items if item.study == study), None)

    def counts(self) -> dict[str, dict[str, int]]:
        """How many studies have each judgement, by domain; only judgements that occur."""
        return {
            domain: {
                category: n
                for category in self.categories
                if (n := sum(item.judgements[i] == category for item in self.items))
            }
            for i, domain in enumerate(self.domains)
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per study as robvis wants it: Study, D1, D2, ..., Overall, Weight."""
        import pandas as pd

        names = [f"D{i + 1}" for i in range(len(self.domains))]
        rows = [[i.study, *i.judgements, i.overall, 1.0 if i.weight is None else i.weight] for i in self.items]
        return pd.DataFrame(rows, columns=["Study", *names, "Overall", "Weight"])


def read_risk_of_bias(
    path: str | Path, tool: str = "RoB 2", *, sep: str | None = None, encoding: str = "utf-8", sheet: str | None = None
) -> RiskOfBias:
    """Read a table of risk of bias judgements, one row per study.

    Parameters
    ----------
    path : str or Path
        A CSV file or workbook in the form of robvis: ``Study``, ``D1``, ``D2``, ..., ``Overall``, ``Weight``. Domains
        may also go by their names.
    tool : {"RoB 2", "RoB 1", "ROBINS-I", "ROBINS-I V2", "Newcastle-Ottawa"}
        The tool, whose domains and judgements are the only ones allowed.
    sep, encoding, sheet
        As for `read_studies`.

    Returns
    -------
    RiskOfBias

    Raises
    ------
    TableError
        With every fault: a domain missing or unknown, a judgement the tool does not know, a study that stands twice.
    """
    chosen = tool_named(tool)
    grid = read_grid(Path(path), TableChoices(sep=sep, encoding=encoding, sheet=sheet))
    header = [clean(name) for name in grid.header]
    study = next((i for i, name in enumerate(header) if name.casefold() in _STUDY), None)
    if study is None:
        raise InputError(f"{grid.source}: column 'Study' is missing (found: {', '.join(header)})")
    columns, faults = _columns(chosen, header)
    result, more = _judge(chosen, columns, _rows(grid, study, header))
    if faults := [*grid.faults, *faults, *more]:
        raise TableError(grid.source, faults)
    return result


def risk_of_bias(studies: Studies, tool: str | None = None, endpoint: str | None = None) -> RiskOfBias | None:
    """The risk of bias in the columns ``rob_...`` or ``nos_...`` of a study table.

    Parameters
    ----------
    studies : Studies
        A study table.
    tool : str, optional
        By default the tool to which the columns belong.
    endpoint : str, optional
        Judgements for this endpoint only; without it the judgements of a study must be the same in all its rows.

    Returns
    -------
    RiskOfBias or None
        None if the table has no such columns.

    Raises
    ------
    TableError
        As `read_risk_of_bias`, with the rows of the table.
    """
    names = [name for name in studies.unknown if name.startswith(("rob_", "nos_"))]
    if not names:
        return None
    chosen = tool_named(tool) if tool is not None else guess(names)
    own = [name for name in names if name.startswith(chosen.prefix)]
    columns, faults = _columns(chosen, own)
    rows: dict[str, _Row] = {}
    for row in studies.rows:
        if endpoint is not None and row.text("endpoint") != endpoint:
            continue
        cells = {name: row.text(name) for name in own}
        first = rows.setdefault(row.text("study"), (row.number, row.text("study"), cells))
        differs = next((name for name in own if first[2][name] != cells[name]), None)
        if differs is not None:
            message = f"'{cells[differs]}', but '{first[2][differs]}' in row {first[0]}: choose an endpoint"
            faults.append(row.fault(message, differs))
    result, more = _judge(chosen, columns, list(rows.values()))
    if faults := [*faults, *more]:
        raise TableError(studies.source, faults)
    return result


_Row = tuple[int, str, Mapping[str, str]]


def _rows(grid: Grid, study: int, header: Sequence[str]) -> list[_Row]:
    return [
        (number, clean(texts[study]) if study < len(texts) else "", dict(zip(header, map(clean, texts), strict=False)))
        for number, texts in grid.body
    ]


def _columns(tool: Tool, header: Sequence[str]) -> tuple[dict[str, str], list[Fault]]:
    """The column of each domain, of the overall judgement ("overall") and of the weight ("weight")."""
    found: dict[str, str] = {}
    faults = []
    names = {f"d{i}": key for i, key in enumerate(tool.domains, start=1)}
    names |= {fold(label): key for key, label in tool.domains.items()} | {fold(key): key for key in tool.domains}
    names |= {fold(word): "overall" for word in _OVERALL} | {fold(word): "weight" for word in _WEIGHT}
    for name in header:
        plain = name.casefold().removeprefix(tool.prefix)
        if not name or plain in _STUDY:
            continue
        key = names.get(fold(plain))
        near = nearest(plain, tool.domains)
        if key is None and tool.added and not near:
            found["_".join(plain.split())] = name
        elif key is None:
            faults.append(Fault(f"'{name}' is not a domain of {tool.name}{near} ({', '.join(tool.domains)})", 1, name))
        elif key in found:
            faults.append(Fault(f"'{name}' and '{found[key]}' are the same domain", 1, name))
        else:
            found[key] = name
    missing = [f"D{i} ({key})" for i, key in enumerate(tool.domains, start=1) if key not in found]
    if tool.whole and missing and not faults:
        same = [t.name for t in TOOLS.values() if len(t.domains) == len(tool.domains) - len(missing)]
        hint = f"; is it {same[0]}?" if same else ""
        message = f"{tool.name} has {len(tool.domains)} domains; missing: {', '.join(missing)}{hint}"
        faults.append(Fault(message, 1))
    return found, faults


def _judge(tool: Tool, columns: Mapping[str, str], rows: Sequence[_Row]) -> tuple[RiskOfBias, list[Fault]]:
    added = [key for key in columns if key not in tool.domains and key not in ("overall", "weight")]
    domains = (*(key for key in tool.domains if key in columns), *added)
    faults: list[Fault] = []
    notes: list[Fault] = []
    items: dict[str, Judged] = {}
    for number, study, cells in rows:
        if not study:
            faults.append(Fault("the study has no name", number, "study"))
        elif study in items:
            faults.append(Fault("the study stands twice", number, "study", study))
        elif any(cells.get(columns[key]) for key in domains):
            items[study] = _one(tool, domains, columns, (number, study, cells), faults, notes)
    labels = tuple(tool.domains.get(key) or key.replace("_", " ").capitalize() for key in domains)
    return RiskOfBias(tool.name, domains, labels, tool.categories, tuple(items.values()), tuple(notes)), faults


def _one(
    tool: Tool, domains: Sequence[str], columns: Mapping[str, str], row: _Row, faults: list[Fault], notes: list[Fault]
) -> Judged:
    number, study, cells = row
    judged = []
    for key in domains:
        text = cells.get(columns[key], "")
        category = tool.category(text)
        if category is None:
            faults.append(Fault(tool.refusal(text), number, columns[key], study))
        elif not category and tool.whole:
            faults.append(Fault(f"{key} is not judged: {tool.name} wants every domain", number, columns[key], study))
        elif category == "Two stars" and key != "comparability":
            faults.append(Fault("two stars are for comparability only", number, columns[key], study))
        judged.append(category or "")
    overall = _overall(tool, judged, columns, row, faults, notes)
    text = cells.get(columns["weight"], "") if "weight" in columns else ""
    weight = _weight(text)
    if text and weight is None:
        faults.append(Fault(f"'{text}' is not a weight", number, columns["weight"], study))
    return Judged(study, tuple(judged), overall, weight)


def _weight(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if 0 <= weight < math.inf else None


def _overall(
    tool: Tool, judged: Sequence[str], columns: Mapping[str, str], row: _Row, faults: list[Fault], notes: list[Fault]
) -> str:
    """The overall judgement; a note if it is better than the worst domain."""
    number, study, cells = row
    stars = str(sum(STARS.get(judgement, 0) for judgement in judged))
    if "overall" not in columns:
        return stars if tool.prefix == "nos_" else ""
    column, text = columns["overall"], cells.get(columns["overall"], "")
    if tool.prefix == "nos_":
        if text and text != stars:
            faults.append(Fault(f"'{text}' stars in all, but the items have {stars}", number, column, study))
        return stars
    category = tool.category(text)
    if category is None:
        faults.append(Fault(tool.refusal(text), number, column, study))
        return ""
    scale = [name for name in tool.categories if name not in ("No information", NOT_APPLICABLE)]
    worst = max((scale.index(j) for j in judged if j in scale), default=0)
    if category in scale and scale.index(category) < worst:
        message = f"overall '{category}', although a domain is '{scale[worst]}'"
        notes.append(Fault(message, number, column, study, severity="warn"))
    return category
