"""results.json as a reader walks it: every value knows its place, and prints itself the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metastrata.plots.scales import ratio_text
from metastrata.plots.style import number
from metastrata.plots.tables import probability
from metastrata.reporting.document import Text, Value

CREDIBLE = ("mean", "eti95_lower", "eti95_upper")


@dataclass(frozen=True)
class Node:
    """A place in results.json: ``node["endpoints"]["sledai"]["summary"][3]["mean"].num()``."""

    raw: Any
    path: str = ""

    def __getitem__(self, key: str | int) -> Node:
        return Node(self.raw[key], f"{self.path}/{_escaped(str(key))}")

    def __contains__(self, key: str) -> bool:
        return key in self.raw

    def __iter__(self) -> Iterator[Node]:
        """The entries of a list."""
        return (self[i] for i in range(len(self.raw)))

    def __len__(self) -> int:
        return len(self.raw)

    def __bool__(self) -> bool:
        return bool(self.raw)

    def items(self) -> Iterator[tuple[str, Node]]:
        """The entries of a table, with their names."""
        return ((key, self[key]) for key in self.raw)

    def find(self, **wanted: object) -> Node | None:
        """The first entry of a list that has these values."""
        return next((row for row in self if all(row.raw[k] == v for k, v in wanted.items())), None)

    def select(self, **wanted: object) -> list[Node]:
        """The entries of a list that have these values."""
        return [row for row in self if all(row.raw[k] == v for k, v in wanted.items())]

    def shown(self, text: str) -> Text:
        """The value with the words it is printed in."""
        return (Value(self.path, text),)

    def num(self, digits: int = 2) -> Text:
        """A number with its decimals; nothing if there is none."""
        return self.shown(number(float(self.raw), digits)) if self.raw is not None else ()

    def p(self) -> Text:
        """A probability in a table: 0.980, > 0.999."""
        return self.shown(probability(float(self.raw))) if self.raw is not None else ()

    def chance(self) -> Text:
        """A probability in a sentence: 0.980, more than 0.999."""
        said = probability(float(self.raw)).replace("> ", "more than ").replace("< ", "less than ")
        return self.shown(said)

    def per_cent(self) -> Text:
        """A share as a percentage, never "0 %" or "100 %" unless it is exactly that."""
        value = 100 * float(self.raw)
        return self.shown("> 99 %" if 99.5 < value < 100 else "< 1 %" if 0 < value < 0.5 else f"{value:.0f} %")

    def risk(self, digits: int = 1) -> Text:
        """A share of patients, or a difference of two, in per cent with its decimals: 12.0 %."""
        return self.shown(f"{number(100 * float(self.raw), digits)} %") if self.raw is not None else ()

    def plain(self) -> Text:
        """A number as it was written: 0.5, 4."""
        return self.shown(f"{self.raw:g}") if self.raw is not None else ()

    def count(self) -> Text:
        """A count: 3,940."""
        return self.shown(f"{self.raw:,.0f}") if self.raw is not None else ()

    def words(self) -> Text:
        """A text, or a number as it stands."""
        return self.shown(str(self.raw)) if self.raw not in (None, "") else ()

    def risk_interval(self, keys: tuple[str, str, str]) -> Text:
        """A risk with its interval, "12.0 % [1.7 %, 47.9 %]"."""
        estimate, lower, upper = (self[key].risk() for key in keys)
        return (*estimate, " [", *lower, ", ", *upper, "]") if estimate else ()

    def ratio(self) -> Text:
        """A ratio with as many decimals as its first two figures need: 0.48, 0.062."""
        return self.shown(ratio_text(float(self.raw))) if self.raw is not None else ()

    @property
    def read(self) -> Node | None:
        """What a row is read back as, where it is a logarithm."""
        return self["read"] if self.raw.get("read") is not None else None

    def read_back(self) -> Text:
        """The same with its name: "OR 0.48 [0.23, 0.97]", "risk 12.0 % [1.7 %, 47.9 %]"; nothing if there is none."""
        found = self.read
        if found is None:
            return ()
        if found.raw["unit"] == "risk":
            return ("risk ", *found.risk_interval(("estimate", "lower", "upper")))
        estimate, lower, upper = (found[key].ratio() for key in ("estimate", "lower", "upper"))
        return (f"{found.raw['unit']} ", *estimate, " [", *lower, ", ", *upper, "]")

    def ends(self) -> tuple[Text, Text]:
        """The ends of a credible interval, read back where they are logarithms."""
        found = self.read
        if found is None:
            return self["eti95_lower"].num(), self["eti95_upper"].num()
        if found.raw["unit"] == "risk":
            return found["lower"].risk(), found["upper"].risk()
        return found["lower"].ratio(), found["upper"].ratio()

    def interval(self, keys: tuple[str, str, str] = CREDIBLE, digits: int = 2) -> Text:
        """An estimate with its interval, "-1.27 [-2.15, -0.23]", or what there is of it."""
        estimate, lower, upper = (self[key] for key in keys)
        if estimate.raw is None:
            return ("not estimable",)
        if lower.raw is None or upper.raw is None:
            return (*estimate.num(digits), " (interval not estimable)")
        return (*estimate.num(digits), " [", *lower.num(digits), ", ", *upper.num(digits), "]")


def interval_of(node: Node, digits: int = 2) -> Text:
    """A list of estimate, lower and upper as text."""
    return (*node[0].num(digits), " [", *node[1].num(digits), ", ", *node[2].num(digits), "]")


def studies_text(node: Node) -> Text:
    """A number of studies: "1 study", "4 studies"."""
    return (*node.count(), " study" if node.raw == 1 else " studies")


def lookup(content: Mapping[str, Any] | Any, path: str) -> Any:
    """The value at a JSON pointer (RFC 6901).

    Raises
    ------
    KeyError
        If there is none.
    """
    found = content
    for part in path.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (IndexError, KeyError, TypeError, ValueError):
            raise KeyError(path) from None
    return found


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
