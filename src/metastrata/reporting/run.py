"""run(): from a plan to a folder with everything in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from metastrata.errors import InputError, unknown
from metastrata.inference.fit import ENGINES
from metastrata.model.intake import require
from metastrata.model.plan import Plan, read_plan
from metastrata.reporting.figures import listing, write_figures
from metastrata.reporting.fits import Job, Say, fit_alternatives, fit_endpoint
from metastrata.reporting.folder import free_folder, new_folder, refuse_existing
from metastrata.reporting.html import report_html
from metastrata.reporting.provenance import provenance, versions
from metastrata.reporting.results import RunResult, as_json, csv_text, dump


def run(
    plan: str | Path | Plan,
    out: str | Path | None = None,
    *,
    engine: str = "nuts",
    seed: int | None = None,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
    force: bool = False,
    say: Say | None = None,
) -> RunResult:
    """Run the analysis of a plan and write its folder.

    Parameters
    ----------
    plan : path or Plan
    out : path, optional
        The folder to make; by default ``reports/<name of the plan>`` in the working directory, or if that is taken,
        one beside it with a number.
    engine : {"nuts", "exact"}
        "nuts" samples, and checks every posterior against the exact engine; "exact" skips the sampling, for work in
        progress. Alternatives are always integrated.
    seed : int, optional
        By default that of the plan.
    draws, tune, chains : int
        Draws and tuning steps per chain, and chains.
    force : bool
        Whether an existing folder may be replaced.
    say : callable, optional
        Told what is going on, a line at a time.

    Returns
    -------
    RunResult
        ``result.status`` is "unreliable" if any fit did not pass the gate; the folder then says so everywhere.

    Raises
    ------
    InputError
        If the plan, the table or the folder is wrong: nothing is written.
    RunInterruptedError
        If stopped by hand: nothing is left.
    """
    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    tell = say or (lambda line: None)
    if engine not in ENGINES:
        raise InputError(unknown("engine", engine, ENGINES))
    out = _choose_folder(plan, out, force, tell)
    seed = plan.seed if seed is None else seed
    effects = require(plan)
    variants = [(a, require(plan, a)) for a in plan.alternatives]
    started = _now()
    job = Job(plan, seed, {"engine": engine, "draws": draws, "tune": tune, "chains": chains}, tell)
    with new_folder(out, force=force) as folder:
        with job.timing("loading"):
            _load(engine)
        results = tuple(fit_endpoint(job, name, effects) for name in plan.endpoints)
        notes = tuple(note for note in effects.notes if not note.endpoint)
        result = RunResult(plan, results, fit_alternatives(job, variants, results), job.seconds, notes)
        tell("figures and report")
        _write(job, result, folder, started)
    tell(f"wrote {out}")
    return result


def _load(engine: str) -> None:
    """Load the engine ahead, so that its import is not counted as sampling."""
    if engine == "nuts":
        import metastrata.inference.nuts  # noqa: F401


def _choose_folder(plan: Plan, out: str | Path | None, force: bool, tell: Say) -> Path:
    """The folder asked for, or the plan's own; with no --force, one beside it if that is taken."""
    if out is not None:
        refuse_existing(Path(out), force=force)
        return Path(out)
    own = Path("reports") / plan.name
    free = own if force else free_folder(own)
    if free != own:
        tell(f"{own} exists already and is kept: writing {free} (--force replaces {own})")
    refuse_existing(free, force=force)
    return free


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(job: Job, result: RunResult, folder: Path, started: str) -> None:
    settings = {**job.settings, "seed": job.seed}
    (folder / "fit").mkdir()
    for part in result.endpoints:
        if part.fit is not None:
            part.fit.save(folder / "fit" / f"{part.name}.nc")
    (folder / "summary.csv").write_text(csv_text(result.summary()), encoding="utf-8")
    if len(result.sensitivity):
        (folder / "sensitivity.csv").write_text(csv_text(result.sensitivity), encoding="utf-8")
    with job.timing("figures"):
        figures = write_figures(result, folder / "figures")
    content = as_json(result, settings, versions(), listing(figures, result, folder))
    (folder / "results.json").write_text(dump(content), encoding="utf-8")
    with job.timing("report"):
        (folder / "report.html").write_text(report_html(folder), encoding="utf-8")
    record = provenance(result, folder, settings, started, _now())
    (folder / "provenance.json").write_text(dump(record), encoding="utf-8")
