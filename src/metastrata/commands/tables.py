"""A study table as effect sizes: words of the command line into options, effects into CSV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metastrata.commands.app import app, in_words
from metastrata.errors import InputError

if TYPE_CHECKING:
    from metastrata.evidence.effects import Effects


@app.command()
def effects(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A study table: CSV, Excel or RevMan.")],
    measure: Annotated[
        str,
        typer.Option(
            help="Effect measure: SMD, MD, OR, RR, RD, GEN, ROM, IRR, IRLN, PLO, PETO, SMDH, SMD1, SMCC, PPC2 or SMCRD."
        ),
    ] = "SMD",
    r: Annotated[str | None, typer.Option(help="Pre-post correlation where none is printed, or 'independent'.")] = None,
    change_scores: Annotated[
        str, typer.Option(help="Change-score effects among raw-score ones: refuse, convert or as_reported.")
    ] = "refuse",
    variance: Annotated[str, typer.Option(help="Type of variance, such as LS, LS2 or UB.")] = "LS",
    before_after: Annotated[str, typer.Option(help="Before/after studies by SMCR, SMCRH or SMCRP.")] = "SMCR",
    timepoint: Annotated[str, typer.Option(help="Several time points: refuse, first, last, all, months.")] = "refuse",
    shared_control: Annotated[
        str, typer.Option(help="Shared control arms: refuse, split, combine or covariance.")
    ] = "refuse",
    zero_cells: Annotated[str, typer.Option(help="Tables that get 1/2: only0, if0all, all or none.")] = "only0",
    on_missing: Annotated[str, typer.Option(help="Rows that lack a number: refuse or drop.")] = "refuse",
    counts: Annotated[str, typer.Option(help="Counts for an SMD: refuse or convert.")] = "refuse",
    unit: Annotated[
        list[str] | None, typer.Option(help="Units of an endpoint and their factors: 'protein: g = 1, mg = 0.001'.")
    ] = None,
    endpoint: Annotated[list[str] | None, typer.Option(help="Endpoint wanted (default: all).")] = None,
    missing: Annotated[list[str] | None, typer.Option(help="Code for a value not reported, such as NR.")] = None,
    sep: Annotated[str | None, typer.Option(help="Separator of a CSV file.")] = None,
    decimal: Annotated[str, typer.Option(help="Decimal mark of a CSV file.")] = ".",
    encoding: Annotated[str, typer.Option(help="Encoding of a CSV file.")] = "utf-8",
    sheet: Annotated[str | None, typer.Option(help="Sheet of a workbook.")] = None,
    r_script: Annotated[bool, typer.Option("--r-script", help="Print an R script that refits with metafor.")] = False,
) -> None:
    """Compute the effect sizes of a study table and print them as CSV."""
    words: dict[str, Any] = {
        "change_scores": change_scores, "variance": variance, "before_after": before_after,
        "shared_control": shared_control, "zero_cells": zero_cells, "on_missing": on_missing, "counts": counts,
    }  # fmt: skip
    with in_words():
        from metastrata.evidence.effects import effect_sizes
        from metastrata.evidence.studies import read_studies

        words |= {"r": _correlation(r), "timepoint": _months(timepoint), "units": _units(unit or [])}
        reading = {"sep": sep, "decimal": decimal, "encoding": encoding, "sheet": sheet, "missing": missing or ()}
        studies = read_studies(table, measure=measure, outcomes=endpoint, **reading)  # type: ignore[arg-type]
        found = effect_sizes(studies, measure, endpoints=endpoint, **words)
    if r_script:
        from metastrata.reporting.rscript import r_script as script

        typer.echo(script(found), nl=False)
    else:
        _print_csv(found)


def _print_csv(effects: Effects) -> None:
    import csv

    names = ["study", "stratum", "endpoint", "y", "se", "origin", "derivation", "row"]
    rows = [[getattr(item, name) for name in names] for item in effects.items]
    if effects.repeated:
        names.append("months")
        rows = [[*row, item.metric.months] for row, item in zip(rows, effects.items, strict=True)]
    if effects.covariances:
        names.append("covariance")
        rows = [[*row, text] for row, text in zip(rows, effects.covariance_texts, strict=True)]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)


def _months(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _units(texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Units with their factors, by endpoint."""
    units: dict[str, dict[str, float]] = {}
    for text in texts:
        name, _, rest = text.partition(":")
        try:
            factors = {unit.strip(): float(value) for unit, _, value in (p.partition("=") for p in rest.split(","))}
        except ValueError:
            factors = {}
        if not name.strip() or not factors or "" in factors or not all(0 < f < float("inf") for f in factors.values()):
            raise InputError(f"unit = '{text}': write 'ENDPOINT: UNIT = FACTOR, UNIT = FACTOR', factors above 0")
        units[name.strip()] = factors
    return units


def _correlation(text: str | None) -> float | str | None:
    if text is None or text == "independent":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"r = {text}: a number between -1 and 1, or 'independent'") from None
