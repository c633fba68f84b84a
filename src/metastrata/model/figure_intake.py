"""What the figures of a plan need from files: columns of the study table, and judgements of risk of bias."""

from __future__ import annotations

from metastrata.errors import Fault, InputError, unknown
from metastrata.evidence.risk_of_bias import RiskOfBias, read_risk_of_bias, risk_of_bias
from metastrata.evidence.studies import Studies, load_studies
from metastrata.model.plan import Plan

ALWAYS = ("n", "data", "year", "timepoint")  # made from several columns, or simply left out where nothing is known


def figure_faults(plan: Plan, studies: Studies) -> list[Fault]:
    """What is wrong with the figures a plan asks for: a column the table has not, a file that cannot be read."""
    columns = list(dict.fromkeys(name for row in studies.rows for name in row.cells))
    faults = [
        Fault(f"[figures] {key}: {unknown('column', name, columns)}")
        for key, names, known in (
            ("columns", plan.figures.columns, (*ALWAYS, *columns)),
            ("moderators", plan.figures.moderators, columns),
        )
        for name in names
        if name not in known
    ]
    try:
        judged = judgements(plan, studies)
    except InputError as error:
        return [*faults, Fault(f"risk of bias: {error}")]
    known_studies = {row.text("study") for row in studies.rows}
    for tool in judged:
        for name in tool.studies:
            if name not in known_studies:
                message = f"risk of bias ({tool.tool}): {unknown('study', name, known_studies)}"
                faults.append(Fault(message, severity="warn"))
    return faults


def judgements(plan: Plan, studies: Studies | None = None, endpoint: str | None = None) -> tuple[RiskOfBias, ...]:
    """The judgements of risk of bias of a plan: from its files, else from the columns of the study table.

    Parameters
    ----------
    plan : Plan
    studies : Studies, optional
        The study table, if it is read already.
    endpoint : str, optional
        Judgements of the table for this endpoint; without it, those of the plan's first endpoint that has any.

    Raises
    ------
    InputError
        If a file cannot be read, or a judgement is none of its tool.
    """
    if not plan.data:
        return ()  # a plan made in Python for a fit has no table
    if studies is None and not (plan.risk_of_bias and all(item.data for item in plan.risk_of_bias)):
        choices = plan.table_format.choices(plan.effects.measure, tuple(plan.endpoints))
        studies, _ = load_studies(plan.table, choices)
    if not plan.risk_of_bias:
        return _in_table(plan, studies, None, endpoint)
    found: list[RiskOfBias] = []
    for item in plan.risk_of_bias:
        path = (plan.path.parent / item.data).resolve()
        found += [read_risk_of_bias(path, item.tool)] if item.data else _in_table(plan, studies, item.tool, endpoint)
    return tuple(found)


def _in_table(plan: Plan, studies: Studies | None, tool: str | None, endpoint: str | None) -> tuple[RiskOfBias, ...]:
    """The judgements in the columns of the study table."""
    if studies is None:
        return ()
    for name in [endpoint] if endpoint else plan.endpoints:
        found = risk_of_bias(studies, tool, endpoint=name)
        if found is not None and len(found):
            return (found,)
    return ()
