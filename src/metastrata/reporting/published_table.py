"""The published priors as a table on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from metastrata.model.published import PublishedPrior

MANY = 40


def print_published(found: Sequence[PublishedPrior], console: Console, *, every: bool = False) -> None:
    """Print priors one a row, or, if there are many, one row for each name with what narrows it down."""
    if len(found) > MANY and not every:
        _overview(found, console)
    else:
        _rows(found, console)
    cited = dict.fromkeys((one.source, one.citation) for one in found)
    console.print()
    for key, citation in cited:
        console.print(f"[bold]{key}[/bold]  {citation}", highlight=False)
    if any(one.reading for one in found):
        console.print(
            "\nrhodes2015: reading='scale' takes the printed number for the scale of the t, as bayesmeta does; "
            "reading='sd' for its SD, as the published 95 % ranges do. The paper should be asked.",
            highlight=False,
        )


def _rows(found: Sequence[PublishedPrior], console: Console) -> None:
    table = Table(show_lines=False, pad_edge=False, box=None, header_style="bold")
    for name in ("in a plan", "for", "prior", "95 %", ""):
        table.add_column(name, overflow="fold", no_wrap=name in ("for", "95 %"))
    for one in found:
        remark = "doubtful" if one.doubt else "" if one.calibrated else "not calibrated"
        about = f"{one.parameter} of {one.measure}" if one.measure not in ("", "any") else one.parameter
        table.add_row(one.call if one.text else one.name, about, one.text or one.note, range_text(one), remark)
    console.print(table)
    for text in dict.fromkeys(f"{one.call}: {one.doubt}" for one in found if one.doubt):
        console.print(f"doubtful: {text}", highlight=False)


def _overview(found: Sequence[PublishedPrior], console: Console) -> None:
    table = Table(pad_edge=False, box=None, header_style="bold")
    for name in ("name", "for", "measure", "priors", "narrow down with"):
        table.add_column(name, overflow="fold")
    for name in dict.fromkeys(one.name for one in found):
        own = [one for one in found if one.name == name]
        keys = [key for key in ("outcome", "comparison", "area", "field", "reading")
                if len({getattr(one, key) for one in own}) > 1]  # fmt: skip
        measures = ", ".join(dict.fromkeys(one.measure for one in own))
        table.add_row(name, own[0].parameter, measures, str(len(own)), ", ".join(keys))
    console.print(table)
    console.print(
        "\nOne prior a row: add --measure, --outcome, --comparison, --field, --source or --all.", highlight=False
    )


def range_text(one: PublishedPrior) -> str:
    """The 95 % range of a prior in words; of tau also where the source states it on tau2."""
    if not one.text:
        return ""
    low, high = one.prior.range95()
    return f"below {high:.3g}" if low == 0 else f"{low:.3g} to {high:.3g}"
