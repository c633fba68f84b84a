"""What a run wrote: in more formats, as it was written or not, and again."""

from __future__ import annotations

from typing import Annotated

import typer

from metastrata.commands.app import UNRELIABLE, WRONG, FolderPath, Formats, Reason, app, err, in_words


@app.command()
def export(
    folder: FolderPath,
    to: Formats = None,
    allow_unreliable: Reason = "",
) -> None:
    """Write the report of a finished run in more formats."""
    with in_words():
        from metastrata.reporting.formats import export as export_folder

        for path in export_folder(folder, to or ["html"], allow_unreliable=allow_unreliable):
            typer.echo(f"wrote {path}")


@app.command()
def verify(folder: FolderPath) -> None:
    """Say whether a run folder is as it was written, and whether its plan and table have changed since."""
    with in_words():
        from metastrata.reporting.trust import verify as verify_folder

        found = verify_folder(folder)
    typer.echo(str(found))
    if not found.ok:
        raise typer.Exit(WRONG)


@app.command()
def rerun(
    folder: FolderPath,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed (default: that of the run).")] = None,
) -> None:
    """Repeat a finished run from the plan and table it kept, and report differences."""
    with in_words():
        from metastrata.reporting.repeat import rerun as repeat

        found = repeat(folder, seed=seed, say=err)
    typer.echo(str(found))
    if not found.agrees or found.status != "reliable":
        raise typer.Exit(UNRELIABLE)
