"""run(): from a plan to a folder with everything in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from metastrata.errors import InputError, unknown
from metastrata.inference.fit import ENGINES
from metastrata.model.intake import require
from metastrata.model.plan import Plan, read_plan
from metastrata.reporting.absolute import together as absolute_rows
from metastrata.reporting.content import as_json
from metastrata.reporting.extras import check_formats
from metastrata.reporting.figures import listing, write_figures
from metastrata.reporting.fits import Job, Say, fit_endpoint
from metastrata.reporting.folder import free_folder, new_folder, refuse_existing
from metastrata.reporting.formats import MARK, write_formats
from metastrata.reporting.natural_courses import fit_natural_courses
from metastrata.reporting.plain import csv_text, dump
from metastrata.reporting.provenance import provenance, versions
from metastrata.reporting.readiness import require_ready
from metastrata.reporting.results import RunResult
from metastrata.reporting.safety import fit_safety
from metastrata.reporting.together import fit_together
from metastrata.reporting.trust import keep_inputs
from metastrata.reporting.variants import fit_alternatives, with_alternatives
from metastrata.reporting.visits import fit_visits, visits_table


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
    formats: Sequence[str] | None = None,
    allow_unreliable: str = "",
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
    formats : sequence of {"html", "docx", "pdf", "qmd", "tables"}, optional
        Formats of the report; by default those of the plan. See `export`.
    allow_unreliable : str
        Why a report is wanted even if a fit is not reliable; it is printed as a watermark on every page. Without a
        reason the report of such a run holds no results.
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
    require_ready(plan, formats)  # everything `check` would refuse is refused before anything is written
    wanted = check_formats(plan.formats if formats is None else formats)
    started = _now()
    job = Job(plan, seed, {"engine": engine, "draws": draws, "tune": tune, "chains": chains}, tell)
    with new_folder(out, force=force) as folder:
        inputs = keep_inputs(plan, folder)
        result = calculate(job)
        tell("figures and report")
        write_results(job, result, folder)
        with job.timing("report"):
            mark = f"{MARK}: {allow_unreliable}" if allow_unreliable and result.status != "reliable" else ""
            write_formats(folder, wanted, mark)
        record = provenance(result, folder, inputs, {**job.settings, "seed": job.seed}, started, _now())
        (folder / "provenance.json").write_text(dump(record), encoding="utf-8")
    tell(f"wrote {out}")
    return result


def calculate(job: Job) -> RunResult:
    """Fit everything a plan asks for; nothing is written."""
    plan = job.plan
    effects = require(plan)
    job, variants = with_alternatives(job, effects)
    plan = job.plan
    with job.timing("endpoints together"):
        together = fit_together(plan, effects, job.seed, job.settings, job.say)
    with job.timing("visits"):
        visits = fit_visits(plan, job.seed)
    for one in visits:
        job.say(f"{plan.endpoints[one.endpoint].label}: {len(one.fit.effects)} effects over time, {one.fit.status}")
    with job.timing("natural course"):
        courses = fit_natural_courses(plan, effects, job.seed)
    with job.timing("loading"):
        _load(job.settings["engine"])
    results = tuple(fit_endpoint(job, name, effects) for name in plan.endpoints)
    notes = tuple(note for note in effects.notes if not note.endpoint)
    sensitivity = fit_alternatives(job, variants, results)
    with job.timing("safety"):
        safety = fit_safety(job)
    return RunResult(plan, results, sensitivity, job.seconds, notes, together, safety, visits, courses)


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


def write_results(job: Job, result: RunResult, folder: Path) -> None:
    """Draws, tables, figures and results.json: what a report is made of."""
    settings = {**job.settings, "seed": job.seed}
    (folder / "fit").mkdir()
    for part in result.endpoints:
        if part.fit is not None:
            part.fit.save(folder / "fit" / f"{part.name}.nc")
    safety = result.safety.endpoints if result.safety is not None else ()
    for part in safety:
        if part.fit is not None:
            part.fit.save(folder / "fit" / f"safety_{part.name}.nc")
    (folder / "summary.csv").write_text(csv_text(result.summary()), encoding="utf-8")
    for name, parts in (("absolute_effects", result.endpoints), ("safety", safety)):
        if len(absolute := absolute_rows((e.name, e.absolute) for e in parts)):
            (folder / f"{name}.csv").write_text(csv_text(absolute), encoding="utf-8")
    if len(result.sensitivity):
        (folder / "sensitivity.csv").write_text(csv_text(result.sensitivity), encoding="utf-8")
    if result.endpoints_together is not None:
        for name, table in result.endpoints_together.tables().items():
            (folder / f"{name}.csv").write_text(csv_text(table), encoding="utf-8")
    if result.visits:
        (folder / "visits.csv").write_text(csv_text(visits_table(result.visits)), encoding="utf-8")
    for course in result.natural_courses:
        (folder / f"natural_course_{course.endpoint}.csv").write_text(csv_text(course.table), encoding="utf-8")
    for name in ("tipping", "sweeps"):
        table = result.together(name)
        if len(table):
            (folder / f"{name}.csv").write_text(csv_text(table), encoding="utf-8")
    with job.timing("figures"):
        figures = write_figures(result, folder / "figures")
    content = as_json(result, settings, versions(), listing(figures, result, folder))
    content["figures_not_drawn"] = [
        {"kind": kind, "endpoint": endpoint, "reason": reason} for kind, endpoint, reason in figures.refused
    ]
    (folder / "results.json").write_text(dump(content), encoding="utf-8")
