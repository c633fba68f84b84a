"""The command line. Exit status: 0 done, 1 a result is unreliable, 2 the input or the words are wrong.

What a verb needs is imported inside it: `check` and `effects` must answer without loading PyMC.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from metastrata.errors import InputError, MetastrataError, RunInterruptedError, TableError, without_echoes

if TYPE_CHECKING:
    from metastrata.errors import Fault
    from metastrata.evidence.effects import Effects

app = typer.Typer(
    name="metastrata",
    help="Bayesian meta-analysis that keeps study designs in strata.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
UNRELIABLE, WRONG, INTERRUPTED = 1, 2, 130
FolderPath = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `run` wrote.")]
Formats = Annotated[
    list[str] | None,
    typer.Option("--to", help="Format of the report: html, docx, pdf, qmd or tables; may be repeated."),
]
Reason = Annotated[
    str, typer.Option(help="Why a report is wanted although a fit is not reliable: printed on every page.")
]
PlanPath = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan, a TOML file.")]


def _err(text: str) -> None:
    typer.echo(text, err=True)


def _stop(error: MetastrataError) -> NoReturn:
    """Say what is wrong in plain words and leave with its exit status."""
    code = error.faults[0].code if isinstance(error, InputError) and not isinstance(error, TableError) else ""
    _err(f"metastrata: {error}{f' [{code}]' if code and f'[{code}]' not in str(error) else ''}")
    if isinstance(error, RunInterruptedError):
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(WRONG if isinstance(error, InputError) else UNRELIABLE)


@app.command()
def check(plan: PlanPath) -> None:
    """Read a plan and its study table and say what is wrong, without fitting anything."""
    from metastrata.model.plan import read_plan
    from metastrata.model.prior_review import before_the_data, lines
    from metastrata.reporting.readiness import readiness

    try:
        read = read_plan(plan)
        found = readiness(read)
    except MetastrataError as error:
        _stop(error)
    doubts = [fault for fault in without_echoes(found.faults) if not fault.stops]
    if found.refusal is not None:
        _worth_knowing(doubts)
        _stop(found.refusal)
    typer.echo(f"{read.title}\nmodel: mean {read.model.mean}, heterogeneity {read.model.heterogeneity}")
    for text in [*lines(read), *before_the_data(read)]:
        typer.echo(f"  {text}")
    for name, endpoint in read.endpoints.items():
        part = found.effects.endpoint(name)
        typer.echo(f"\n{endpoint.label} ({endpoint.better} is better): {_counts(part.items)}")
        for item in part.items:
            flag = "  [assumed value]" if item.origin == "assumed" else ""
            typer.echo(
                f"  {item.stratum:16s} {item.study:28s} {item.y:9.3f} (se {item.se:.3f})  {item.derivation}{flag}"
            )
        for gone in part.excluded:
            typer.echo(f"  left out         {gone.study:28s} {gone.reason}")
    if found.lines:
        typer.echo("\nasked besides:")
    for text in found.lines:
        typer.echo(f"  {text}")
    _worth_knowing(doubts)
    typer.echo(
        f"\n{read.table.name}: no fault. {len(found.plan.alternatives)} alternatives. Ready: metastrata run {plan}"
    )


def _worth_knowing(doubts: Sequence[Fault]) -> None:
    """Print warnings and notes."""
    if doubts:
        typer.echo("\nworth knowing:")
        for fault in doubts:
            typer.echo(f"  {fault.severity}: {fault.coded}")


def _counts(items: tuple[object, ...]) -> str:
    return "one study, nothing to pool" if len(items) == 1 else f"{len(items)} studies"


@app.command()
def run(
    plan: PlanPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder to make (default: reports/NAME of the plan; if it exists, NAME-2, ...).")
    ] = None,
    engine: Annotated[str, typer.Option(help="How to compute the posterior.")] = "nuts",
    draws: Annotated[int, typer.Option(min=100, help="Draws per chain.")] = 2000,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed (default: the plan's).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it exists.")] = False,
    to: Formats = None,
    allow_unreliable: Reason = "",
) -> None:
    """Run the analysis of a plan and write its report."""
    from metastrata.reporting.run import run as run_plan

    try:
        result = run_plan(
            plan, out, engine=engine, draws=draws, seed=seed, force=force, formats=to,
            allow_unreliable=allow_unreliable, say=_err,
        )  # fmt: skip
    except MetastrataError as error:
        _stop(error)
    except KeyboardInterrupt:
        _stop(RunInterruptedError("stopped: nothing was written"))
    for part in result.endpoints:
        why = f": {'; '.join(part.reasons)}" if part.reasons else ""
        typer.echo(f"{part.endpoint.label}: {part.status.replace('_', ' ')}{why}")
    if result.status != "reliable":
        _err("metastrata: a result is not reliable; it is marked so in every file")
        raise typer.Exit(UNRELIABLE)


@app.command()
def export(
    folder: FolderPath,
    to: Formats = None,
    allow_unreliable: Reason = "",
) -> None:
    """Write the report of a finished run in more formats."""
    from metastrata.reporting.formats import export as export_folder

    try:
        for path in export_folder(folder, to or ["html"], allow_unreliable=allow_unreliable):
            typer.echo(f"wrote {path}")
    except MetastrataError as error:
        _stop(error)


@app.command()
def verify(folder: FolderPath) -> None:
    """Say whether a run folder is as it was written, and whether its plan and table have changed since."""
    from metastrata.reporting.trust import verify as verify_folder

    try:
        found = verify_folder(folder)
    except MetastrataError as error:
        _stop(error)
    typer.echo(str(found))
    if not found.ok:
        raise typer.Exit(WRONG)


@app.command()
def rerun(
    folder: FolderPath,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed (default: that of the run).")] = None,
) -> None:
    """Repeat a finished run from the plan and table it kept, and report differences."""
    from metastrata.reporting.repeat import rerun as repeat

    try:
        found = repeat(folder, seed=seed, say=_err)
    except MetastrataError as error:
        _stop(error)
    except KeyboardInterrupt:
        _stop(RunInterruptedError("stopped: nothing was written"))
    typer.echo(str(found))
    if not found.agrees or found.status != "reliable":
        raise typer.Exit(UNRELIABLE)


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
    from metastrata.evidence.effects import effect_sizes
    from metastrata.evidence.studies import read_studies

    words: dict[str, Any] = {
        "change_scores": change_scores, "variance": variance, "before_after": before_after,
        "shared_control": shared_control, "zero_cells": zero_cells, "on_missing": on_missing, "counts": counts,
    }  # fmt: skip
    try:
        words |= {"r": _correlation(r), "timepoint": _months(timepoint), "units": _units(unit or [])}
        reading = {"sep": sep, "decimal": decimal, "encoding": encoding, "sheet": sheet, "missing": missing or ()}
        studies = read_studies(table, measure=measure, outcomes=endpoint, **reading)  # type: ignore[arg-type]
        found = effect_sizes(studies, measure, endpoints=endpoint, **words)
    except MetastrataError as error:
        _stop(error)
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


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the analysis.")],
    excel: Annotated[bool, typer.Option("--excel", help="The table as a workbook with drop-downs.")] = False,
) -> None:
    """Write a plan and an empty study table to fill in."""
    from metastrata.reporting.starter import write_starter

    try:
        for path in write_starter(name, Path(), excel=excel):
            typer.echo(f"wrote {path}")
    except MetastrataError as error:
        _stop(error)


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
    from rich.console import Console

    from metastrata.model.published import published_priors
    from metastrata.reporting.published_table import print_published

    try:
        found = published_priors(
            parameter=parameter, measure=measure, outcome=outcome, comparison=comparison, field=field, source=source
        )
    except MetastrataError as error:
        _stop(error)
    wide = Console(width=None if sys.stdout.isatty() else 160)
    print_published(found, wide, every=every)


@app.command()
def selftest() -> None:
    """Check this installation against published posteriors, one engine against the other, and calibration."""
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
    console.print("every check passed" if passed else "a check failed: do not rely on results from this installation")
    if not passed:
        raise typer.Exit(UNRELIABLE)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
