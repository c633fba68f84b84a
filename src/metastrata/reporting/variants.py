"""The alternatives of a run: the same endpoints under other assumptions, in one table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from metastrata.appraisal.alternatives import COLUMNS, MAIN, alternative_rows, frequentist_rows
from metastrata.errors import InputError, ModelError
from metastrata.evidence.effects import Effects
from metastrata.model.alternatives import analysed, expanded
from metastrata.model.intake import require
from metastrata.model.plan import Alternative
from metastrata.reporting.fits import Job, seed_for
from metastrata.reporting.results import EndpointResult

if TYPE_CHECKING:
    import pandas as pd

SUMMARISED = ("mu", "mu_stratum", "contrast", "tau", "omega", "bias")


def with_alternatives(job: Job, effects: Effects) -> tuple[Job, list[tuple[Alternative, Effects]]]:
    """The job with its named sets made into single alternatives, and each alternative with its effects."""
    plan = job.plan.model_copy(update={"alternatives": expanded(job.plan, effects)})
    return replace(job, plan=plan), [(a, require(plan, a)) for a in plan.alternatives]


def fit_alternatives(
    job: Job, variants: list[tuple[Alternative, Effects]], results: tuple[EndpointResult, ...]
) -> pd.DataFrame:
    """For each endpoint the main analysis, every alternative by integration, and the frequentist answer."""
    import pandas as pd

    tables = []
    for main in results:
        if main.fit is None:
            continue
        rows: list[list[object]] = []
        with job.timing("alternatives"):
            for alternative, effects in variants:
                rows += _rows(job, alternative, effects, main)
        _tell(job, main, rows)
        rows += frequentist_rows(main.fit)
        tables += [_main_rows(main.summary), pd.DataFrame(rows, columns=COLUMNS)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def _rows(job: Job, alternative: Alternative, effects: Effects, main: EndpointResult) -> list[list[object]]:
    """The rows of an alternative; none where it changes nothing, or leaves fewer than two studies."""
    part = analysed(alternative, effects, main.name)
    if part is None:
        return []
    try:
        model = job.plan.statistical_model(alternative)
        seed = seed_for(job.seed, main.name, alternative.name)
        return alternative_rows(alternative.name, model, part, main.effects, seed=seed)
    except ModelError as error:
        raise InputError(f"{job.plan.path.name}: alternative '{alternative.name}': {error}") from None


def _tell(job: Job, main: EndpointResult, rows: list[list[object]]) -> None:
    """How many alternatives there are, and which are not reliable."""
    found = {str(row[COLUMNS.index("alternative")]): str(row[COLUMNS.index("status")]) for row in rows}
    bad = [f"{name} {status}" for name, status in found.items() if status != "reliable"]
    verdict = "; ".join(bad) or "reliable"
    job.say(f"{main.endpoint.label}: {len(found)} alternative{'' if len(found) == 1 else 's'}, {verdict}")


def _main_rows(table: pd.DataFrame) -> pd.DataFrame:
    kept = table[table["quantity"].isin(SUMMARISED)].copy()
    kept["alternative"], kept["data"] = MAIN, ""
    return kept[COLUMNS]
