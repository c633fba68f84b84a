"""The command line itself: the words all verbs share, and how a verb ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from metastrata.errors import InputError, MetastrataError, RunInterruptedError, TableError

UNRELIABLE, WRONG, INTERRUPTED = 1, 2, 130
EPILOG = (
    "First steps: metastrata new NAME, fill in the table, metastrata check models/NAME.toml, metastrata run "
    "models/NAME.toml. Exit status: 0 done; 1 a result is not reliable; 2 the input or the words are wrong; "
    "130 stopped."
)
FolderPath = Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `run` wrote.")]
PlanPath = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan, a TOML file.")]
Formats = Annotated[
    list[str] | None,
    typer.Option("--to", help="Format of the report: html, docx, pdf, qmd or tables; may be repeated."),
]
Reason = Annotated[
    str, typer.Option(help="Why a report is wanted although a fit is not reliable: printed on every page.")
]

app = typer.Typer(
    name="metastrata",
    help="Bayesian meta-analysis that keeps study designs in strata.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"metastrata {version('metastrata')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Bayesian meta-analysis that keeps study designs in strata."""


def err(text: str) -> None:
    """Print to standard error."""
    typer.echo(text, err=True)


@contextmanager
def in_words() -> Iterator[None]:
    """Run a verb: whatever it refuses, and Ctrl-C, ends in one message and its exit status, never in a traceback."""
    try:
        yield
    except MetastrataError as error:
        stop(error)
    except KeyboardInterrupt:
        stop(RunInterruptedError("stopped: nothing was written"))


def stop(error: MetastrataError) -> NoReturn:
    """Say what is wrong in plain words and leave with its exit status."""
    code = error.faults[0].code if isinstance(error, InputError) and not isinstance(error, TableError) else ""
    err(f"metastrata: {error}{f' [{code}]' if code and f'[{code}]' not in str(error) else ''}")
    if isinstance(error, RunInterruptedError):
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(WRONG if isinstance(error, InputError) else UNRELIABLE)
