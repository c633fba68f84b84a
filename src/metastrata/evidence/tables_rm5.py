"""Read a RevMan 5 file (``.rm5``): XML, read without expanding entities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metastrata.errors import Fault, InputError
from metastrata.evidence.tables import Grid, TableChoices
from metastrata.evidence.tables_revman import Entry, Kind, Outcome, Review, assemble, bias_column, effect_code

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

KINDS: dict[str, Kind] = {"CONT": "continuous", "DICH": "dichotomous", "IV": "generic", "IPD": "ipd"}
VALUES = {
    "CONT": {"n_treated": "TOTAL_1", "mean_treated": "MEAN_1", "sd_treated": "SD_1", "n_control": "TOTAL_2",
             "mean_control": "MEAN_2", "sd_control": "SD_2"},
    "DICH": {"events_treated": "EVENTS_1", "n_treated": "TOTAL_1", "events_control": "EVENTS_2",
             "n_control": "TOTAL_2"},
    "IV": {"y": "ESTIMATE", "se": "SE"},
    "IPD": {},
}  # fmt: skip
JUDGEMENTS = {"YES": "Low risk", "NO": "High risk", "UNKNOWN": "Unclear risk"}
RATIOS = ("OR", "RR", "PETO", "IRR", "HR")


def read_rm5(source: str, data: bytes, choices: TableChoices) -> Grid:
    """Read a RevMan 5 file as a table of texts.

    Raises
    ------
    InputError
        If it is not XML, declares entities, or has no analyses.
    """
    root = _parse(source, data)
    if root.find(".//ANALYSES_AND_DATA") is None:
        raise InputError(f"{source} is no RevMan 5 file with analyses (its outermost tag is <{root.tag}>)", "F12")
    studies = {s.get("ID", ""): s for s in root.iter("STUDY")}
    outcomes: list[Outcome] = []
    entries: list[Entry] = []
    for comparison in root.iter("COMPARISON"):
        for element in comparison:
            prefix, _, rest = element.tag.partition("_") if isinstance(element.tag, str) else ("", "", "")
            if rest != "OUTCOME" or prefix not in KINDS:
                continue
            outcome = _outcome(element, prefix, comparison)
            outcomes.append(outcome)
            for subgroup, row in _rows(element, prefix):
                entries.append(_entry(outcome, row, subgroup, studies, len(entries) + 1, prefix))
    numbers = [outcome.number for outcome in outcomes]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise InputError(f"{source}: two outcomes have the number {twice[0]}", "F12")
    notes = tuple(_order_note() for _ in entries[:1])
    return assemble(Review(source, tuple(outcomes), tuple(entries), _bias(root, studies), notes), choices)


def _order_note() -> Fault:
    return Fault("an .rm5 file has no rows: row numbers count its study entries from the top", severity="note")


def _parse(source: str, data: bytes) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(data, forbid_dtd=False, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise InputError(
            f"{source} declares XML entities ({type(error).__name__}): not a RevMan file to trust",
            "F12",
        ) from None
    except (ParseError, ValueError, LookupError, UnicodeError) as error:
        raise InputError(f"{source} is not XML that can be read: {error}", "F12") from None
    return root


def _text(element: Element, tag: str) -> str:
    found = element.find(tag)
    return " ".join("".join(found.itertext()).split()) if found is not None else ""


def _outcome(element: Element, prefix: str, comparison: Element) -> Outcome:
    effect = element.get("EFFECT_MEASURE") or _text(element, "EFFECT_MEASURE")
    return Outcome(
        f"{comparison.get('NO', '')}.{element.get('NO', '')}",
        _text(element, "NAME"),
        KINDS[prefix],
        effect_code(effect),
        _text(comparison, "NAME"),
        _text(element, "GRAPH_LABEL_1"),
        _text(element, "GROUP_LABEL_1"),
        _text(element, "GROUP_LABEL_2"),
        element.get("SWAP_EVENTS") == "YES",
    )


def _rows(element: Element, prefix: str) -> Iterator[tuple[str, Element]]:
    """The study rows of an outcome with the name of their subgroup."""
    for child in element:
        if child.tag == f"{prefix}_DATA":
            yield "", child
        elif child.tag == f"{prefix}_SUBGROUP":
            for row in child.iter(f"{prefix}_DATA"):
                yield _text(child, "NAME"), row


def _entry(outcome: Outcome, row: Element, subgroup: str, studies: dict[str, Element], line: int, prefix: str) -> Entry:
    known = studies.get(row.get("STUDY_ID", ""))
    name = known.get("NAME", "") if known is not None else row.get("STUDY_ID", "")
    year = known.get("YEAR", "") if known is not None else ""
    values = {ours: (row.get(theirs) or "").strip() for ours, theirs in VALUES[prefix].items()}
    if prefix == "IV" and not values["y"] and outcome.effect not in RATIOS:
        values["y"] = (row.get("EFFECT_SIZE") or "").strip()  # of a ratio it would not be the logarithm
    left_out = "RevMan marks it as not estimable" if row.get("ESTIMABLE") == "NO" else ""
    return Entry(outcome.number, name, line, {} if left_out else values, subgroup, year, left_out)


def _bias(root: Element, studies: dict[str, Element]) -> dict[str, dict[str, str]]:
    """The judgements of the risk of bias tables, for the study as a whole or for groups of outcomes."""
    judged: dict[str, dict[str, str]] = {}
    for item in root.iter("QUALITY_ITEM"):
        groups = {group.get("ID", ""): _text(group, "NAME") for group in item.iter("QUALITY_ITEM_DATA_ENTRY_GROUP")}
        for entry in item.iter("QUALITY_ITEM_DATA_ENTRY"):
            study = studies.get(entry.get("STUDY_ID", ""))
            verdict = JUDGEMENTS.get(entry.get("RESULT", ""), "")
            if study is not None and verdict:
                group = groups.get(entry.get("GROUP_ID", ""), "")
                domain = f"{_text(item, 'NAME')}: {group}" if group else _text(item, "NAME")
                judged.setdefault(study.get("NAME", ""), {})[bias_column(domain)] = verdict
    return judged
