"""The course of an effect over time, pooled across studies: fitted, and told as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.errors import InputError
from metastrata.evidence.effects import Better, Effects
from metastrata.inference.courses import Visits, arrange_visits, course_problem
from metastrata.inference.joint import JointFit, fit_joint
from metastrata.inference.joint.algebra import Given, study_effects
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.thinning import thin
from metastrata.model.course import Course
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *("quantity", "stratum", "months", "study", "y", "se", "mean", "median", "sd", "eti95_lower", "eti95_upper"),
    *("p_benefit", "studies", "status", "note"),
]
POINTS = (0.025, 0.5, 0.975)
NAN = float("nan")
FEW = 5
CHANGE = "since the first time point; P(benefit) is that the effect has become better"


@dataclass(frozen=True)
class CourseFit:
    """The course of an effect over time.

    Attributes
    ----------
    model : Course
    effects : Effects
        With every visit.
    visits : Visits
        The same by study.
    fit : JointFit
        Draws, diagnostics, marginals.
    table : DataFrame
        A row for each of: ``mu`` (the mean effect at each time point), ``mu_stratum`` (of a design), ``theta_new`` (a
        new study), ``change`` (since the first time point), ``contrast`` (the shift between designs), ``theta`` (each
        study at each of its visits, beside its estimate ``y`` and ``se``), and the SDs and correlations. ``studies``
        counts those with a visit at the time point.
    """

    model: Course
    effects: Effects
    visits: Visits
    fit: JointFit
    table: pd.DataFrame

    @property
    def endpoint(self) -> str:
        """Name of the endpoint."""
        return self.effects.endpoints[0]

    @property
    def status(self) -> str:
        """The verdict: "reliable", "unreliable" or "incomplete"."""
        return self.fit.status

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the fit is not reliable; empty if it is."""
        return self.fit.reasons

    @property
    def log_evidence(self) -> float | None:
        """Log marginal likelihood, if the exact engine was asked."""
        return self.fit.log_evidence

    def marginal(self, quantity: str, *labels: str) -> Any:
        """The posterior of one quantity, ``marginal("mu", "6")``: mean, sd, quantile(p), cdf(x)."""
        return self.fit.marginal(quantity, *labels)

    def __repr__(self) -> str:
        visits, studies = len(self.effects), len(self.visits.studies)
        return f"<CourseFit {self.endpoint}, {studies} studies, {visits} visits, {self.fit.engine}, {self.status}>"

    def _repr_html_(self) -> str:
        """The table as a notebook shows it, without the studies."""
        html: str = self.table[self.table["quantity"] != "theta"]._repr_html_()
        return html


def fit_course(model: Course, effects: Effects, *, engine: str = "exact", seed: int = 1, **settings: Any) -> CourseFit:
    """Fit the course of an effect over time, pooled across studies.

    Parameters
    ----------
    model : Course
    effects : Effects
        Of one endpoint, with every visit: ``effect_sizes(..., timepoint="all")``, or
        ``Effects.from_estimates(..., months=...)``.
    engine : str
        "exact" integrates; see `fit` for others. `seed` and further settings (`draws`, `chains`) are those of `fit`.

    Returns
    -------
    CourseFit

    Raises
    ------
    InputError
        If `effects` are not those of one endpoint, a visit has no time or the wrong place (every one is named), or
        what is said of correlations is impossible or missing; see `Course`.

    Notes
    -----
    Everything but the SDs and correlations is integrated in closed form. The model and its sources: `Course`.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates(
    ...     [-0.5, -0.6, -0.3, -0.4], [0.2, 0.2, 0.15, 0.2], ["Lee", "Lee", "Kim", "Roy"], months=[3, 6, 3, 6],
    ...     better="lower")
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.3)", "step": "half_normal(0.1)", "rho": 0.9}
    >>> course = ms.fit_course(ms.Course(priors=priors), effects)
    >>> course.table.query("quantity == 'mu'")[["months", "mean", "p_benefit", "studies"]].round(2).values.tolist()
    [[3.0, -0.38, 0.99, 2.0], [6.0, -0.42, 0.99, 2.0]]
    """
    if not isinstance(model, Course):
        raise InputError(f"model is {type(model).__name__}: a course over time has a model of its own, ms.Course(...)")
    visits = arrange_visits(effects)
    found = fit_joint(course_problem(model, effects), engine=engine, seed=seed, **settings)
    return CourseFit(model, effects, visits, found, _table(model, effects, visits, found))


def _table(model: Course, effects: Effects, visits: Visits, found: JointFit) -> pd.DataFrame:
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    better = effects.direction
    rows = [*_means(visits, found, better), *_studies(visits, found, better), *_scalars(model, visits, found)]
    return Shown(pd.DataFrame([[row.get(name, NAN) for name in COLUMNS] for row in rows], columns=COLUMNS))


def _row(found: JointFit, quantity: str, labels: tuple[str, ...], better: Better | None, **more: Any) -> dict[str, Any]:
    """One quantity with its numbers; P(benefit) where a direction is known."""
    return _numbers(found.marginal(quantity, *labels), found.status, better) | {"quantity": quantity} | more


def _numbers(marginal: Any, status: str, better: Better | None) -> dict[str, Any]:
    """The numbers of a posterior, with empty labels."""
    lower, median, upper = (float(q) for q in marginal.quantile(list(POINTS)))
    row = {"stratum": "", "study": "", "mean": float(marginal.mean), "median": median,
           "sd": float(marginal.sd), "eti95_lower": lower, "eti95_upper": upper}  # fmt: skip
    row |= {"status": status, "note": ""}
    if better is not None:
        below = float(marginal.cdf(0.0))
        row["p_benefit"] = below if better == "lower" else 1 - below
    return row


def _means(visits: Visits, found: JointFit, better: Better | None) -> Iterator[dict[str, Any]]:
    """Means, new studies, changes and shifts, as far as the model has them."""
    names = {combination.name for combination in found.problem.combinations}
    counts = {stratum: visits.counts(stratum) for stratum in (None, *visits.strata)}
    for quantity in ("mu", "mu_stratum", "theta_new"):
        for stratum in (None, *visits.strata):
            for t, month in enumerate(visits.months):
                labels = (*([stratum] if stratum is not None else []), f"{month:g}")
                if f"{quantity}[{', '.join(labels)}]" in names:
                    more = {"stratum": stratum or "", "months": month, "studies": counts[stratum][t]}
                    yield _row(found, quantity, labels, better, **more)
    for month in visits.months[1:]:
        yield _row(found, "change", (f"{month:g}",), better, months=month, note=CHANGE)
    for name in sorted(name for name in names if name.startswith("contrast[")):
        label = name.removeprefix("contrast[")[:-1]
        yield _row(found, "contrast", (label,), None, stratum=label, note="the same at all times")


def _studies(visits: Visits, found: JointFit, better: Better | None) -> Iterator[dict[str, Any]]:
    """Each study at each of its visits."""
    own = _study_marginals(found)
    for g, members in enumerate(visits.items):
        for v, i in enumerate(members):
            item = visits.effects.items[i]
            more = {"stratum": item.stratum, "study": item.study, "months": item.metric.months}
            more |= {"y": item.y, "se": item.se}
            yield _numbers(own(g, v), found.status, better) | {"quantity": "theta", **more}


def _study_marginals(found: JointFit) -> Callable[[int, int], Any]:
    """The posteriors of the studies' true effects by study and visit, all in one pass over weighted points."""
    if found.exact is None or found.engine != "exact":
        return lambda g, v: found.marginal("theta", found.problem.studies[g], found.problem.slots[v])
    cloud = found.exact.cloud
    kept = cloud.placed.replicate == cloud.placed.replicate[0]  # one quasi-random set is enough, and is a tenth of them
    phi = {name: values[kept] for name, values in cloud.phi.items()}
    given = Given(cloud.found.log_likelihood[kept], cloud.found.mean[kept], cloud.found.covariance[kept])
    mean, covariance = study_effects(found.problem, phi, given, np.arange(len(found.problem.studies)))
    weight = cloud.weight[kept] / cloud.weight[kept].sum()
    sd = np.sqrt(np.maximum(np.diagonal(covariance, axis1=2, axis2=3), 0.0))
    return lambda g, v: thin(NormalMixture(weight, mean[:, g, v], sd[:, g, v]))


def _scalars(model: Course, visits: Visits, found: JointFit) -> Iterator[dict[str, Any]]:
    """SDs and correlations: those with a prior, and those that are fixed."""
    several = int((visits.there.sum(axis=1) > 1).sum())
    estimated = {scalar.name for scalar in found.problem.scalars}
    for name in model.parameters:
        value = model.priors[name]
        if name in estimated:
            over_time = name in ("tau_time", "phi", "rho") and several < FEW
            note = f"{_studies_text(several)} with two visits or more: mostly its prior" if over_time else ""
            yield _row(found, name, (), None, note=note)
        elif isinstance(value, float) and not isinstance(value, Prior):
            fixed = dict.fromkeys(("mean", "median", "eti95_lower", "eti95_upper"), value)
            yield {"quantity": name, "stratum": "", "study": "", **fixed, "sd": 0.0, "status": found.status,
                   "note": "fixed, not estimated"}  # fmt: skip


def _studies_text(count: int) -> str:
    return "one study" if count == 1 else f"{count or 'no'} studies"
