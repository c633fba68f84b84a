"""run(): from a plan to a folder with everything in it."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.comparison import compare
from metastrata.appraisal.summaries import columns, single_study, summary
from metastrata.errors import InputError, ModelError, RunInterruptedError, unknown
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import ENGINES, Fit, fit
from metastrata.model.intake import require
from metastrata.model.plan import Alternative, Plan, read_plan
from metastrata.reporting.folder import new_folder, refuse_existing
from metastrata.reporting.results import SENSITIVITY, EndpointResult, RunResult, as_json, csv_text, dump

if TYPE_CHECKING:
    import pandas as pd

Say = Callable[[str], None]


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
        The folder to make; by default ``reports/<name of the plan>`` in the working directory.
    engine : {"nuts"}
        As for `fit`.
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
    out = Path(out) if out is not None else Path("reports") / plan.name
    if engine not in ENGINES:
        raise InputError(unknown("engine", engine, ENGINES))
    refuse_existing(out, force=force)
    tell = say or (lambda line: None)
    seed = plan.seed if seed is None else seed
    effects = require(plan)
    variants = [(a, require(plan, a)) for a in plan.alternatives]
    started, clock = _now(), time.perf_counter()
    settings = {"engine": engine, "draws": draws, "tune": tune, "chains": chains}
    with new_folder(out, force=force) as folder:
        results = tuple(_endpoint(plan, name, effects, seed, settings, tell) for name in plan.endpoints)
        sensitivity = _sensitivity(plan, variants, results, seed, settings, tell)
        fitted = time.perf_counter()
        seconds = _timing(results, fitted - clock)
        result = RunResult(plan, results, sensitivity, seconds)
        tell("figures and report")
        _write(result, folder, {**settings, "seed": seed}, started)
        seconds["figures_and_report"] = time.perf_counter() - fitted
    tell(f"wrote {out}")
    return result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _timing(results: Iterable[EndpointResult], total: float) -> dict[str, float]:
    fits = [r.fit for r in results if r.fit]
    return {
        "fits": total,
        "compile": sum(f.seconds.get("compile", 0.0) for f in fits),
        "sample": sum(f.seconds.get("sample", 0.0) for f in fits),
    }


def seed_for(seed: int, *names: str) -> int:
    """A seed of its own for each fit, whatever other fits a plan has."""
    import numpy as np

    keys = [zlib.crc32(name.encode()) for name in names]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1)[0])


def _endpoint(
    plan: Plan, name: str, effects: Effects, seed: int, settings: dict[str, Any], tell: Say
) -> EndpointResult:
    choices, own = plan.endpoints[name], seed_for(seed, name)
    part = effects.endpoint(name)
    if len(part) == 0:
        tell(f"{choices.label}: no study to analyse")
        return EndpointResult(name, choices, part, None, _empty_summary(), None, own)
    if len(part) == 1:
        tell(f"{choices.label}: one study ({part.studies[0]}), reported as it is, nothing pooled")
        return EndpointResult(name, choices, part, None, single_study(part), None, own)
    tell(f"{choices.label}: {len(part)} studies in {_strata_text(part)}: compiling and sampling")
    found = _fit(plan, None, part, own, settings, tell)
    tell(f"  {_verdict(found)}")
    published = choices.published
    comparison = compare(found, published.model_dump() if published else None, plan.strata)
    return EndpointResult(name, choices, part, found, summary(found, mid=choices.mid), comparison, own)


def _strata_text(effects: Effects) -> str:
    return f"{len(effects.strata)} strata" if len(effects.strata) > 1 else "1 stratum"


def _empty_summary() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns=columns())


def _fit(
    plan: Plan, alternative: Alternative | None, effects: Effects, seed: int, settings: dict[str, Any], tell: Say
) -> Fit:
    found = fit(
        plan.statistical_model(alternative),
        effects,
        seed=seed,
        on_retry=lambda first: tell(f"  not reliable yet ({'; '.join(first.reasons)}): once more with smaller steps"),
        **settings,
    )
    if found.status == "incomplete":
        raise RunInterruptedError(
            f"stopped while sampling {found.endpoint} ({'; '.join(found.reasons)}): nothing was written"
        )
    return found


def _verdict(found: Fit) -> str:
    seen = found.diagnostics
    reasons = f": {'; '.join(found.reasons)}" if found.reasons else ""
    seconds = sum(found.seconds.values())
    return (
        f"{found.status}{reasons} (R-hat {seen.worst_r_hat:.3f}, ESS {seen.least_ess:,.0f}, "
        f"{seen.divergences} divergences, {seconds:.1f} s)"
    )


def _sensitivity(
    plan: Plan,
    variants: list[tuple[Alternative, Effects]],
    results: tuple[EndpointResult, ...],
    seed: int,
    settings: dict[str, Any],
    tell: Say,
) -> pd.DataFrame:
    """The main analysis and every alternative, one row per mean, tau and omega."""
    import pandas as pd

    tables = [_sensitivity_rows(r.summary, "main analysis") for r in results if r.fit]
    for alternative, effects in variants:
        for main in results:
            part = effects.endpoint(main.name)
            left = [s for s in alternative.leave_out if s in part.studies]
            if left:
                part = part.without(left)
            if main.fit is None or len(part) < 2 or (alternative.leave_out and not left):
                continue
            try:
                found = _fit(plan, alternative, part, seed_for(seed, main.name, alternative.name), settings, tell)
            except ModelError as error:
                raise InputError(f"{plan.path.name}: alternative '{alternative.name}': {error}") from None
            tell(f"{main.endpoint.label}, {alternative.name}: {_verdict(found)}")
            tables.append(_sensitivity_rows(summary(found), alternative.name))
    tables = [t for t in tables if len(t)]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=SENSITIVITY)
    order = {name: i for i, name in enumerate(plan.endpoints)}
    return table.sort_values("endpoint", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def _sensitivity_rows(table: pd.DataFrame, name: str) -> pd.DataFrame:
    kept = table[table["quantity"].isin(["mu", "mu_stratum", "contrast", "tau", "omega"])].copy()
    kept["alternative"] = name
    return kept[SENSITIVITY]


def _write(result: RunResult, folder: Path, settings: dict[str, Any], started: str) -> None:
    from metastrata.reporting.figures import write_figures
    from metastrata.reporting.html import report_html
    from metastrata.reporting.provenance import provenance, versions

    (folder / "fit").mkdir()
    for part in result.endpoints:
        if part.fit is not None:
            part.fit.save(folder / "fit" / f"{part.name}.nc")
    (folder / "summary.csv").write_text(csv_text(result.summary()), encoding="utf-8")
    if len(result.sensitivity):
        (folder / "sensitivity.csv").write_text(csv_text(result.sensitivity), encoding="utf-8")
    found = versions()
    (folder / "results.json").write_text(dump(as_json(result, found["metastrata"])), encoding="utf-8")
    figures = write_figures(result, folder / "figures")
    text = report_html(result, figures, settings, found)
    (folder / "report.html").write_text(text, encoding="utf-8")
    record = provenance(result, folder, settings, started, _now())
    (folder / "provenance.json").write_text(dump(record), encoding="utf-8")
