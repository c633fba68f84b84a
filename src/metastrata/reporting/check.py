"""What a page says against results.json: every marked number read back and compared."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from metastrata.reporting.record import lookup

NUMBER = re.compile(r"(?P<bound>[<>]|less than|more than)?\s*(?P<number>-?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?P<unit> ?%)?")


class _Marked(HTMLParser):
    """Collects the text of every element with data-from."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []
        self._path: str | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        path = dict(attrs).get("data-from")
        if path is not None:
            self._path, self._text = path, ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if self._path is not None:
            self.found.append((self._path, self._text))
            self._path = None


def marked(page: str) -> list[tuple[str, str]]:
    """Every value of a page: its place in results.json, and what is printed."""
    reader = _Marked()
    reader.feed(page)
    return reader.found


def wrong_numbers(page: str, content: Mapping[str, Any]) -> list[str]:
    """What a page says that results.json does not; empty if all agrees.

    A number must be the value rounded to the digits shown; a bound such as "> 0.999" must hold; a text must be the
    same text.
    """
    found = []
    for path, shown in marked(page):
        try:
            value = lookup(content, path)
        except KeyError:
            found.append(f"'{shown}' comes from {path}, which is not there")
            continue
        if not agrees(shown, value):
            found.append(f"'{shown}' is shown for {path} = {value!r}")
    return found


def agrees(shown: str, value: object) -> bool:
    """Whether what is printed is the value, as far as its digits go."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return isinstance(value, str) and shown.rstrip(".") == value.rstrip(".")
    match = NUMBER.fullmatch(shown.replace("\u2212", "-").strip())
    if match is None:
        return shown == str(value)
    number = match["number"].replace(",", "")
    digits = len(number.split(".")[1]) if "." in number and "e" not in number else 0
    said, truth = float(number), 100 * value if match["unit"] else float(value)
    if match["bound"]:
        return truth > said if match["bound"] in (">", "more than") else truth < said
    if "e" in number or shown == f"{value:g}":
        return math.isclose(said, truth, rel_tol=1e-5)
    return abs(said - truth) <= 0.5 * 10.0**-digits * (1 + 1e-9)
