"""A plan: read and said, or run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metastrata.commands.app import UNRELIABLE, Formats, PlanPath, Reason, app, err, in_words
from metastrata.errors import without_echoes

if TYPE_CHECKING:
    from metastrata.errors import Fault
    from metastrata.evidence.effects import Effects
    from metastrata.model.plan import Plan


@app.command()
def check(plan: PlanPath) -> None:
    """Read a plan and its study table and say what will be done, or everything that is wrong; nothing is fitted."""
    with in_words():
        from metastrata.model.plan import read_plan
        from metastrata.reporting.readiness import readiness

        read = read_plan(plan)
        found = readiness(read)
        doubts = [fault for fault in without_echoes(found.faults) if not fault.stops]
        if found.refusal is not None:
            _worth_knowing(doubts)
            raise found.refusal
        _model(read)
        _endpoints(read, found.effects)
        if found.lines:
            typer.echo("\nasked besides:")
        for text in found.lines:
            typer.echo(f"  {text}")
        _worth_knowing(doubts)
        number = len(found.plan.alternatives)
        many = "1 alternative" if number == 1 else f"{number} alternatives"
        typer.echo(f"\n{read.table.name}: no fault. {many}. Ready: metastrata run {plan}")


def _model(plan: Plan) -> None:
    """Print the model, its priors in words, and what they say before the data."""
    from metastrata.model.prior_review import before_the_data, lines

    typer.echo(f"{plan.title}\nmodel: mean {plan.model.mean}, heterogeneity {plan.model.heterogeneity}")
    for text in [*lines(plan), *before_the_data(plan)]:
        typer.echo(f"  {text}")


def _endpoints(plan: Plan, effects: Effects) -> None:
    """Print each endpoint with its effects and the rows left out."""
    for name, endpoint in plan.endpoints.items():
        part = effects.endpoint(name)
        typer.echo(f"\n{endpoint.label} ({endpoint.better} is better): {_counts(part.items)}")
        for item in part.items:
            flag = "  [assumed value]" if item.origin == "assumed" else ""
            typer.echo(
                f"  {item.stratum:16s} {item.study:28s} {item.y:9.3f} (se {item.se:.3f})  {item.derivation}{flag}"
            )
        for gone in part.excluded:
            typer.echo(f"  left out         {gone.study:28s} {gone.reason}")


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
    engine: Annotated[
        str,
        typer.Option(help="nuts: sampled, and checked by integration; exact: integrated only, for work in progress."),
    ] = "nuts",
    draws: Annotated[int, typer.Option(min=100, help="Draws per chain.")] = 2000,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed (default: the plan's).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the folder if it exists.")] = False,
    to: Formats = None,
    allow_unreliable: Reason = "",
) -> None:
    """Run the analysis of a plan and write its report."""
    with in_words():
        from metastrata.reporting.run import run as run_plan

        result = run_plan(
            plan, out, engine=engine, draws=draws, seed=seed, force=force, formats=to,
            allow_unreliable=allow_unreliable, say=err,
        )  # fmt: skip
    for part in result.endpoints:
        why = f": {'; '.join(part.reasons)}" if part.reasons else ""
        typer.echo(f"{part.endpoint.label}: {part.status.replace('_', ' ')}{why}")
    if result.status != "reliable":
        err("metastrata: a result is not reliable; it is marked so in every file")
        raise typer.Exit(UNRELIABLE)
