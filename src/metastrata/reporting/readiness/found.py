"""What a section of a plan found when it was asked whether it can be run: lines for a reader, and faults."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from metastrata.errors import Fault, MetastrataError, TableError

MANY = 6


@dataclass
class Found:
    """Lines and faults, filled as one asks."""

    lines: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Keep what is refused inside the block, saying where; the same words are kept once."""
        try:
            yield
        except TableError as error:
            self._keep(where, [fault.coded for fault in error.faults])
        except MetastrataError as error:
            self._keep(where, [str(error)])

    def _keep(self, where: str, texts: Sequence[str]) -> None:
        said = {fault.message.partition(": ")[2] for fault in self.faults}
        self.faults += [Fault(f"{where}: {text}") for text in dict.fromkeys(texts) if text not in said]

    def within(self, other: Found, where: str) -> None:
        """Take over what another found, saying where."""
        self.lines += [f"  {line}" for line in other.lines]
        self.faults += [replace(fault, message=f"{where}, {fault.message}") for fault in other.faults]


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 study", "3 studies"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def some(names: Sequence[str]) -> str:
    """Names in a row; of many the first."""
    if len(names) <= MANY:
        return ", ".join(names)
    return f"{', '.join(names[: MANY - 1])} and {len(names) - MANY + 1} others"
