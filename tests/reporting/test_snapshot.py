"""The words of a report, pinned: from a fixed result, every sentence as a reader gets it.

After a wanted change: ``METASTRATA_SNAPSHOT=1 uv run pytest tests/reporting/test_snapshot.py`` and read the diff.
"""

import difflib
import os
import re
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.reporting.assemble import assemble, read_results
from metastrata.reporting.document import (
    Block,
    Bullets,
    Details,
    Explorer,
    Heading,
    Lines,
    Paragraph,
    Table,
    plain_text,
)

PINNED = ("results", "findings", "references")  # the rest says what other rooms say, and is pinned there
KEPT = Path(__file__).parent / "snapshot.txt"


def lines(blocks: tuple[Block, ...]) -> list[str]:
    found: list[str] = []
    for block in blocks:
        match block:
            case Paragraph(text=said) | Heading(text=said):
                found.append(plain_text(said))
            case Bullets(items=items):
                found += [f"- {plain_text(item)}" for item in items]
            case Table():
                found.append(" | ".join(column.heading for column in block.columns))
                found += [" | ".join(plain_text(cell).replace("\n", "; ") for cell in row) for row in block.rows]
            case Lines():
                found += block.lines
            case Details():
                found += [plain_text(block.summary), *lines(block.blocks)]
            case Explorer():
                found.append(f"({block.template})")
    return found


@pytest.fixture(scope="module")
def words(plan_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of an integrated run: no Monte Carlo error, so its numbers are fixed; versions are left out."""
    out = tmp_path_factory.mktemp("snapshot") / "out"
    ms.run(plan_path, out, engine="exact", draws=100)
    document = assemble(read_results(out), out)
    found = [plain_text(document.title), plain_text(document.banner)]
    for section in document.sections:
        if section.id in PINNED:
            found += ["", f"## {plain_text(section.title)}", *lines(section.blocks)]
    # The error of integration is far below what is shown, but its own size is not.
    return re.sub(r"error below \S+", "error below E", "\n".join(found)) + "\n"


def test_the_words_of_the_report(words: str) -> None:
    if os.environ.get("METASTRATA_SNAPSHOT"):
        KEPT.write_text(words, encoding="utf-8")
    kept = KEPT.read_text(encoding="utf-8")
    changed = list(difflib.unified_diff(kept.splitlines(), words.splitlines(), "kept", "now", lineterm="", n=0))
    assert not changed, "\n".join(changed[:40])
