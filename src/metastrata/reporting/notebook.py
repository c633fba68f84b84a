"""A report of one fit, made where the fit is: in a notebook or a script, without a plan."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from metastrata.errors import InputError, ReportError, unknown
from metastrata.evidence.effects import Better, Effects
from metastrata.inference.fit import Fit
from metastrata.model.plan import Plan
from metastrata.reporting.document import slug

HEIGHT = 640
MARKS = {"unreliable": "NOT RELIABLE", "incomplete": "INCOMPLETE"}


@dataclass(frozen=True)
class Report:
    """A report in memory: shows itself in a notebook, and saves itself as a file.

    Attributes
    ----------
    html : str
        The whole page.
    results : dict
        The numbers in it, as results.json has them.
    """

    html: str = field(repr=False)
    results: dict[str, Any] = field(repr=False)
    _files: Mapping[str, bytes] = field(repr=False)
    _watermark: str = field(default="", repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the report; the ending of the name says how: .html, .docx, .pdf or .qmd.

        Raises
        ------
        InputError
            If there is no such format, or the package for it is not installed.
        """
        from metastrata.reporting.assemble import assemble
        from metastrata.reporting.folder import write_whole
        from metastrata.reporting.formats import WRITERS

        path = Path(path)
        kind = path.suffix.lstrip(".")
        if kind not in WRITERS:
            raise InputError(unknown("format", kind, WRITERS))
        with TemporaryDirectory(prefix="metastrata-report-") as name:
            folder = Path(name)
            for file, data in self._files.items():
                write_whole(folder / file, data)
            return write_whole(path, WRITERS[kind](assemble(self.results, folder, self._watermark), folder))

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style and the notebook's do not mix."""
        return (
            f'<iframe title="metastrata report" srcdoc="{html.escape(self.html)}" '
            f'style="width:100%;height:{HEIGHT}px;border:1px solid #8888"></iframe>'
        )


def report(
    fit: Fit,
    *,
    title: str = "",
    question: str = "",
    labels: Mapping[str, str] | None = None,
    better: Better | None = None,
    mid: float | None = None,
    mid_source: str = "",
    published: Mapping[str, Any] | None = None,
    allow_unreliable: str = "",
) -> Report:
    """Make the report of a fit.

    Parameters
    ----------
    fit : Fit
    title, question : str
        Heading, and the question below it; the title is by default the endpoint's name.
    labels : mapping, optional
        Names of the strata as a reader should see them.
    better : {"lower", "higher"}, optional
        Direction of benefit, where the effects do not say it.
    mid, mid_source : float, str
        Minimal important difference, in the unit of the effect, and where it comes from.
    published : mapping, optional
        A published result to set beside this one, as in `compare`.
    allow_unreliable : str
        Why a report is wanted although the fit is not reliable: a watermark on every page.

    Returns
    -------
    Report
        It shows itself in a notebook; ``report.save("lupus.html")`` writes it, also as .docx, .pdf or .qmd.

    Raises
    ------
    ReportError
        If the fit is not reliable, or incomplete, and no reason is given.
    InputError
        If the direction of benefit is not known.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> page = ms.report(ms.fit(model, effects, engine="exact", draws=200), title="Pain")
    >>> "Computation reliable" in page.html
    True
    """
    if fit.status != "reliable" and not allow_unreliable:
        raise ReportError(
            f"this fit is {fit.status} ({'; '.join(fit.reasons)}): its report is not handed out. To have it for "
            'inspection say why, allow_unreliable="reason": it is printed on every page.'
        )
    direction = better or fit.effects.direction
    if direction is None:
        raise InputError('which direction is better is not known: say better="lower" or better="higher"')
    own = _named(fit, slug(fit.endpoint), direction)
    plan = _plan(own, title or fit.endpoint, question, labels or {}, fit.endpoint, mid, mid_source, published)
    mark = f"{MARKS[fit.status]}: {allow_unreliable}" if fit.status != "reliable" else ""
    return _made(own, plan, mark)


def _made(fit: Fit, plan: Plan, mark: str) -> Report:
    import pandas as pd

    from metastrata.reporting.assemble import assemble
    from metastrata.reporting.content import as_json
    from metastrata.reporting.figures import listing, write_figures
    from metastrata.reporting.fits import Job, appraised
    from metastrata.reporting.folder import write_whole
    from metastrata.reporting.html import checked_page
    from metastrata.reporting.plain import dump
    from metastrata.reporting.provenance import versions
    from metastrata.reporting.results import SENSITIVITY, RunResult

    settings = {"tune": None, **fit.settings, "engine": fit.engine}
    job = Job(plan, int(fit.settings["seed"]), settings, lambda line: None)
    part = appraised(job, fit.endpoint, fit, job.seed)
    result = RunResult(plan, (part,), pd.DataFrame(columns=SENSITIVITY))
    with TemporaryDirectory(prefix="metastrata-report-") as name:
        folder = Path(name)
        figures = listing(write_figures(result, folder / "figures"), result, folder)
        text = dump(as_json(result, settings, versions(), figures))
        write_whole(folder / "results.json", text.encode())
        content = json.loads(text)
        page = checked_page(assemble(content, folder, mark), folder)
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return Report(page, content, files, mark)


def _plan(
    fit: Fit,
    title: str,
    question: str,
    labels: Mapping[str, str],
    label: str,
    mid: float | None,
    mid_source: str,
    published: Mapping[str, Any] | None,
) -> Plan:
    """The plan that this fit would have had."""
    strata = fit.design.strata
    for name in labels:
        if name not in strata:
            raise InputError(unknown("stratum", name, strata))
    priors = {
        name: {s: str(p) for s, p in spec.items()} if isinstance(spec, Mapping) else str(spec)
        for name, spec in fit.model.priors.items()
    }
    endpoint: dict[str, Any] = {"label": label, "better": fit.effects.direction, "mid": mid, "mid_source": mid_source}
    if published is not None:
        endpoint["published"] = dict(published)
    plan = Plan.model_validate(
        {
            "title": title,
            "question": question,
            "data": "none",
            "strata": {s: labels.get(s, s) for s in strata},
            "effects": {"measure": fit.effects.measure},
            "model": {"mean": fit.model.mean, "heterogeneity": fit.model.heterogeneity, "priors": priors},
            "endpoints": {fit.endpoint: endpoint},
        }
    )
    return plan.model_copy(update={"data": ""})  # a plan in a file must name a table; a fit came without one


def _named(fit: Fit, name: str, direction: Better) -> Fit:
    """The fit with an endpoint's name that can be a file name, and its direction of benefit."""
    effects = fit.effects
    items = tuple(replace(item, endpoint=name) for item in effects.items)
    gone = tuple(replace(item, endpoint=name) for item in effects.excluded)
    notes = tuple(replace(note, endpoint=name) for note in effects.notes)
    changed: Effects = replace(effects, items=items, excluded=gone, notes=notes, better={name: direction})
    return replace(fit, effects=changed)
