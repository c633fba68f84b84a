"""What a section of a plan found when it was asked whether it can be run: lines for a reader, and faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from metastrata.errors import Fault, MetastrataError, TableError

MANY = 6


@dataclass
class Found:
    """Lines and faults, filled as one asks.

    Attributes
    ----------
    lines : list of str
    refused : list of Fault
        What the plan asks and cannot have.
    rows : list of Fault
        What is wrong with rows of the table.
    """

    lines: list[str] = field(default_factory=list)
    refused: list[Fault] = field(default_factory=list)
    rows: list[Fault] = field(default_factory=list)
    said: set[str] = field(default_factory=set)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Keep what is refused inside the block, saying where; the same words are kept once."""
        try:
            yield
        except TableError as error:
            self.rows += [replace(f, message=f"{where}: {f.message}") for f in error.faults if self._new(str(f))]
        except MetastrataError as error:
            self.refused += [Fault(f"{where}: {error}")] if self._new(str(error)) else []

    def _new(self, text: str) -> bool:
        new = text not in self.said
        self.said.add(text)
        return new

    def take(self, other: Found) -> None:
        """Take over what another found."""
        self.lines += other.lines
        self.refused += other.refused
        self.rows += other.rows


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 study", "3 studies"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def some(names: Sequence[str]) -> str:
    """Names in a row; of many the first."""
    if len(names) <= MANY:
        return ", ".join(names)
    return f"{', '.join(names[: MANY - 1])} and {len(names) - MANY + 1} others"
