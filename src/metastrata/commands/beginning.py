"""What one needs before: a plan to fill in, priors of the literature, and trust in the installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from metastrata.commands.app import UNRELIABLE, app, in_words


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the analysis.")],
    excel: Annotated[bool, typer.Option("--excel", help="The table as a workbook with drop-downs.")] = False,
) -> None:
    """Write a plan and an empty study table to fill in."""
    with in_words():
        from metastrata.reporting.starter import write_starter

        for path in write_starter(name, Path(), excel=excel):
            typer.echo(f"wrote {path}")


@app.command()
def priors(
    measure: Annotated[str | None, typer.Option(help="Effect measure: SMD, OR, RR, RD, HR, ...")] = None,
    parameter: Annotated[str | None, typer.Option(help="mu, tau, omega, bias, r, beta.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Type of endpoint, such as biomarker.")] = None,
    comparison: Annotated[str | None, typer.Option(help="Such as 'pharmacological vs placebo'.")] = None,
    field: Annotated[str | None, typer.Option(help="Cochrane subfield, such as Skin.")] = None,
    source: Annotated[str | None, typer.Option(help="Name or author, such as rhodes2015.")] = None,
    every: Annotated[bool, typer.Option("--all", help="One prior a row, however many.")] = False,
) -> None:
    """Show priors of the literature, by what they are for, with citation: use them in a plan by name."""
    with in_words():
        from rich.console import Console

        from metastrata.model.published import published_priors
        from metastrata.reporting.published_table import print_published

        found = published_priors(
            parameter=parameter, measure=measure, outcome=outcome, comparison=comparison, field=field, source=source
        )
        wide = Console(width=None if sys.stdout.isatty() else 160)
        print_published(found, wide, every=every)


@app.command()
def selftest() -> None:
    """Check this installation against published posteriors, one engine against the other, and calibration."""
    with in_words():
        from rich.console import Console
        from rich.table import Table

        from metastrata.appraisal.selftest import selftest as checks

        console, table = Console(), Table("check", "found", "", "seconds", title="metastrata selftest")
        passed = True
        with console.status("checking, under a minute ..."):
            for check in checks():
                passed = passed and check.passed
                table.add_row(check.name, check.found, "passed" if check.passed else "FAILED", f"{check.seconds:.1f}")
        console.print(table)
        console.print(
            "every check passed" if passed else "a check failed: do not rely on results from this installation"
        )
    if not passed:
        raise typer.Exit(UNRELIABLE)
