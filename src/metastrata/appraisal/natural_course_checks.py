"""A natural course doubted: whether it foretells control arms that are known, and what its assumptions do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metastrata.appraisal.natural_course import MAIN, POINTS, NaturalCourse, course_row, interval_of
from metastrata.errors import ModelError
from metastrata.evidence.arm_changes import ArmChanges, StudyChanges
from metastrata.inference.draws import Sampled
from metastrata.inference.fit import Marginal
from metastrata.inference.joint import JointFit, fit_joint
from metastrata.inference.mixtures import NormalMixture
from metastrata.inference.natural_course import natural_course_joint
from metastrata.model.natural_course import NaturalCourseModel

if TYPE_CHECKING:
    import pandas as pd

CHECK_COLUMNS = [
    *("study", "control", "control_se", "course", "course_lower", "course_upper", "p_value"),
    *("own", "own_se", "corrected", "corrected_lower", "corrected_upper", "uncorrected"),
]


def check_natural_course(found: NaturalCourse) -> pd.DataFrame:
    """Is the natural course foretold? The control arm of each trial kept aside, and set beside what is predicted.

    For each trial in turn its control arm is withheld, so that it becomes a before/after study; the others tell what it
    would have changed without treatment. Trials that `natural_course` withheld are checked as they are.

    Parameters
    ----------
    found : NaturalCourse

    Returns
    -------
    DataFrame
        ``study control control_se course course_lower course_upper p_value own own_se corrected corrected_lower
        corrected_upper uncorrected``: the change of the control arm and the 95 % interval predicted for it (sampling
        error included), the two-sided probability of one at least as far out; and the effect by the trial's own control
        arm beside the corrected and the uncorrected one.

    Raises
    ------
    ModelError
        If there is only one control arm: nothing would be left to foretell it.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    >>> priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)"}
    >>> priors |= {"tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}
    >>> table = ms.check_natural_course(ms.natural_course(effects, priors=priors, draws=100))
    >>> bool(table["control"].between(table["course_lower"], table["course_upper"]).all())
    True
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    rows = []
    trials = [item.study for item in found.changes.of("trial")]
    held = [item.study for item in found.changes.items if item.held is not None]
    if len(trials) == 1 and not held:
        raise ModelError(f"{trials[0]} is the only trial with a control arm before and after: nothing can foretell it")
    for study in (*held, *(trials if len(trials) > 1 else ())):
        arms = found.changes if study in held else found.changes.withholding([study])
        item = arms.items[arms.studies.index(study)]
        posterior = (
            found.fit if study in held else fit_joint(natural_course_joint(found.model, arms), draws=1, chains=1)
        )
        rows.append(_checked(item, posterior))
    return Shown(pd.DataFrame(rows, columns=CHECK_COLUMNS))


def _checked(item: StudyChanges, posterior: JointFit) -> list[Any]:
    own, control, treated = item.contrast, item.held, item.treated
    assert own is not None
    assert control is not None
    assert treated is not None
    course, effect = (posterior.marginal("theta", item.study, slot) for slot in ("course", "effect"))
    ahead = _with_noise(course, control.se)
    below = float(ahead.cdf(control.y))
    lower, upper = (float(q) for q in ahead.quantile(POINTS[::2]))
    return [item.study, control.y, control.se, float(course.mean), lower, upper, 2 * min(below, 1 - below),
            own.y, own.se, *interval_of(effect), treated.y]  # fmt: skip


def _with_noise(marginal: Marginal, se: float) -> Any:
    """The predictive distribution of an estimate with this standard error."""
    if isinstance(marginal, NormalMixture):
        return replace(marginal, spread=np.hypot(marginal.spread, se))
    assert isinstance(marginal, Sampled)
    return Sampled(marginal.draws + se * np.random.default_rng(1).standard_normal(marginal.draws.shape))


def sweep_natural_course(
    found: NaturalCourse,
    *,
    shift: Sequence[float] = (),
    inflation: Sequence[float] = (),
    rho: Sequence[float] = (),
    withhold: Sequence[str] = (),
) -> pd.DataFrame:
    """What the unknowable does: other patients in before/after studies, a course that varies more, one tied to effect.

    Parameters
    ----------
    found : NaturalCourse
    shift : sequence of float
        By how much more untreated patients of before/after studies would change than control arms, taken as known.
    inflation : sequence of float
        Factors on the variance of the course in before/after studies.
    rho : sequence of float
        Correlations of course and effect.
    withhold : sequence of str
        Trials without whose control arm the analysis is done, one at a time.

    Returns
    -------
    DataFrame
        ``assumption value quantity mean sd eti95_lower eti95_upper p_benefit`` of `mu` and of `course_before_after`.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    >>> priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)"}
    >>> priors |= {"tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}
    >>> found = ms.natural_course(effects, priors=priors, withhold=["Study 4", "Study 5"], draws=100)
    >>> table = ms.sweep_natural_course(found, shift=[-0.5, 0, 0.5]).query("quantity == 'mu'")
    >>> table["mean"].round(2).tolist()
    [1.0, 0.87, 0.74]
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    priors, arms = dict(found.model.priors), found.changes
    asked: list[tuple[str, Any, NaturalCourseModel, ArmChanges]] = []
    asked += [("shift", v, NaturalCourseModel({**priors, "shift": v}, found.model.inflation), arms) for v in shift]
    asked += [("inflation", v, NaturalCourseModel(priors, v), arms) for v in inflation]
    asked += [("rho", v, NaturalCourseModel({**priors, "rho": v}, found.model.inflation), arms) for v in rho]
    asked += [("without the control arm of", name, found.model, arms.withholding([name])) for name in withhold]
    rows = []
    for what, value, model, part in asked:
        posterior = fit_joint(natural_course_joint(model, part), draws=1, chains=1)
        for quantity in ("mu", "course_before_after"):
            row = course_row(MAIN, quantity, posterior.marginal(quantity), part, posterior.status, "")
            rows.append([what, value, quantity, row[2], *row[4:8]])
    names = ["assumption", "value", "quantity", "mean", "sd", "eti95_lower", "eti95_upper", "p_benefit"]
    return Shown(pd.DataFrame(rows, columns=names))
