"""The effect of treatment in before/after studies, less what patients change without it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.natural_course_words import assumptions, note
from metastrata.appraisal.simpler_answers import PLAIN as PLAIN
from metastrata.appraisal.simpler_answers import SHIFTED as SHIFTED
from metastrata.appraisal.simpler_answers import TRIALS as TRIALS
from metastrata.appraisal.simpler_answers import simpler_answers
from metastrata.errors import InputError
from metastrata.evidence.arm_changes import ArmChanges, StudyChanges, arm_changes
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit, Marginal, fit_one
from metastrata.inference.joint import JointFit, fit_joint
from metastrata.inference.natural_course import natural_course_joint, weights
from metastrata.model.natural_course import NaturalCourseModel
from metastrata.model.parameters import PriorSpec
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["analysis", "quantity", "mean", "median", "sd", "eti95_lower", "eti95_upper", "p_benefit", "status", "note"]
STUDY_COLUMNS = [
    *("study", "kind", "treated", "treated_se", "control", "control_se", "effect", "effect_se"),
    *("course", "course_lower", "course_upper", "theta", "theta_lower", "theta_upper", "weight", "weight_course"),
]
POINTS = (0.025, 0.5, 0.975)
MAIN, SELF = "natural course", "before/after only"
OF_SELF = ("mu", "tau", "course_before_after", "uncorrected")
EFFECTS = ("mu", "theta_new", "uncorrected", "uncorrected_new")
Z = 1.959963984540054
NAN = math.nan


@dataclass(frozen=True)
class NaturalCourse:
    """Treatment effects less the natural course, set beside simpler answers.

    Attributes
    ----------
    changes : ArmChanges
        What the arms of each study changed.
    model : NaturalCourseModel
    fit : JointFit
        The posterior; see `marginal` for its quantities by name.
    table : DataFrame
        A row for each quantity of the natural course (``mu course shift tau tau_course rho uncorrected theta_new
        course_new ...``), then `mu` with a plain shift of before/after studies, with no correction, of the trials
        alone, and of the before/after studies alone (`uncorrected`: as reported; `mu`: less the course that control
        arms show). `p_benefit` is the probability of a benefit where the direction is known.
    studies : DataFrame
        For each study its arms, the posterior of its course and of its treatment effect (`theta`), and its weights.
    fits : mapping
        The fits set beside: "plain shift", "no correction", "trials only".
    alone : JointFit or None
        The posterior of "before/after only": of trials the control arms alone are used, so that it shares no effect of
        treatment with "trials only". None without before/after studies.
    """

    changes: ArmChanges
    model: NaturalCourseModel
    fit: JointFit
    table: pd.DataFrame
    studies: pd.DataFrame
    fits: Mapping[str, Fit]
    alone: JointFit | None = None

    @property
    def status(self) -> str:
        """The worst verdict of the fits: "reliable", "unreliable" or "incomplete"."""
        found = {part.status for part in (self.fit, self.alone, *self.fits.values()) if part is not None}
        return next((s for s in ("incomplete", "unreliable") if s in found), "reliable")

    @property
    def course_prior_share(self) -> float:
        """How much the prior of the mean course counts in it: 0 not at all, 1 alone; NaN if the fit was sampled.

        The posterior mean, given the standard deviations, moves by this when the prior's mean does by 1.
        """
        return prior_share(self.studies)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the correction assumes, in words."""
        return assumptions(self.model, self.changes)

    def marginal(self, quantity: str, study: str = "") -> Marginal:
        """The posterior of one scalar: ``marginal("mu")``, ``marginal("theta", study)``, ``marginal("course", study)``.

        `theta` is the effect of treatment in a study, `course` what its patients would have changed without.
        """
        if not study:
            return self.fit.marginal(quantity)
        slots = {"theta": "effect", "course": "course", "treated": "treated"}
        if quantity not in slots:
            raise InputError(f"of a study there are theta, course and treated (got '{quantity}')")
        return self.fit.marginal("theta", study, slots[quantity])

    def __repr__(self) -> str:
        kinds = [len(self.changes.of(kind)) for kind in ("trial", "contrast", "before_after")]
        return (f"<NaturalCourse {self.changes.endpoint}, {kinds[0]} trials with arms, {kinds[1]} without, {kinds[2]} "
                f"before/after studies, {self.status}>")  # fmt: skip

    def _repr_html_(self) -> str:
        """The table as a notebook shows it."""
        html: str = self.table._repr_html_()
        return html


def natural_course(
    changes: ArmChanges | Effects,
    *,
    priors: Mapping[str, PriorSpec | float],
    inflation: float = 1.0,
    withhold: Sequence[str] = (),
    bias: PriorSpec | None = None,
    engine: str = "exact",
    seed: int = 1,
    **settings: Any,
) -> NaturalCourse:
    """Take from before/after studies what patients change without treatment, as the control arms of trials tell it.

    A before/after study shows the effect of treatment and everything else that happens in between: regression to the
    mean, the course of the disease, other treatments, time. Control arms of trials, measured before and after, show the
    everything else. Both arms are modelled (see `NaturalCourseModel`): a change without treatment in every study, from
    one distribution, and an effect of treatment beside it.

    Parameters
    ----------
    changes : ArmChanges or Effects
        What arms changed; of Effects they are derived by `arm_changes`.
    priors : mapping
        Of `mu`, `course` (normal), `tau` and `tau_course`; if wanted of `shift`, by how much more untreated patients of
        before/after studies would change than control arms do, and of `rho`, the correlation of course and effect. A
        number fixes these two.
    inflation : float
        Factor on the variance of the course in before/after studies.
    withhold : sequence of str
        Trials whose control arm is kept aside: they count as before/after studies.
    bias : prior, optional
        Of the shift in the model set beside, which does not look at control arms; by default the prior of `course`.
    engine, seed
        As in `fit`, as are further settings (`draws`, `chains`).

    Returns
    -------
    NaturalCourse

    Raises
    ------
    ModelError, PriorError
        If no control arm is there, or a prior is missing or not what it should be.

    Notes
    -----
    After Begg and Pilote (1991, Biometrics 47:899).

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    >>> priors = {"mu": "normal(0, 1)", "course": "normal(0, 0.5)"}
    >>> priors |= {"tau": "half_normal(0.5)", "tau_course": "half_normal(0.5)"}
    >>> found = ms.natural_course(effects, priors=priors, withhold=["Study 5"], draws=100)
    >>> found.table.query("quantity == 'mu'").set_index("analysis")["mean"].round(2).head(4).to_dict()
    {'natural course': 0.83, 'plain shift': 0.91, 'no correction': 0.8, 'trials only': 1.0}
    """
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    arms = changes if isinstance(changes, ArmChanges) else arm_changes(changes)
    arms = arms.withholding(withhold)
    model = NaturalCourseModel(priors, inflation)  # type: ignore[arg-type]
    found = fit_joint(natural_course_joint(model, arms), engine=engine, seed=seed, **settings)
    asked = simpler_answers(arms, model, bias)
    fits = {name: fit_one(how, what, engine="exact", seed=seed, draws=500) for name, (how, what) in asked.items()}
    studies = _studies(arms, found)
    share = prior_share(studies)
    rows = [course_row(MAIN, name, found.marginal(name), arms, found.status, note(name, model, arms, share))
            for name in _quantities(model)]  # fmt: skip
    for analysis, other in fits.items():
        wanted = [("mu", ""), ("bias", "before_after"), ("tau", other.design.strata[0])]
        for quantity, label in wanted:
            if quantity != "bias" or analysis == SHIFTED:
                rows.append(course_row(analysis, quantity, other.marginal(quantity, label), arms, other.status, ""))
    if len(trials := [i for i in arms.items if i.kind != "before_after"]) == 1:
        rows.append(_one_trial(trials[0]))
    alone = _before_after_only(arms, model, seed)
    if alone is not None:
        rows += [course_row(SELF, name, alone.marginal(name), arms, alone.status, "") for name in OF_SELF]
    table = Shown(pd.DataFrame(rows, columns=COLUMNS))
    return NaturalCourse(arms, model, found, table, studies, fits, alone)


def _quantities(model: NaturalCourseModel) -> list[str]:
    """The quantities of the model, as its table has them."""
    names = ["mu", "tau", "course", "tau_course"]
    names += ["rho"] if isinstance(model.value("rho"), Prior) else []
    names += ["shift"] if isinstance(model.value("shift"), Prior) else []
    names += ["course_before_after"] if model.shifted else []
    return [*names, "uncorrected", "theta_new", "course_new", "uncorrected_new"]


def course_row(analysis: str, quantity: str, marginal: Marginal, arms: ArmChanges, status: str, said: str) -> list[Any]:
    """A quantity as a row of the table."""
    lower, median, upper = (float(q) for q in marginal.quantile(POINTS))
    benefit = NAN
    if quantity in EFFECTS and arms.better is not None:
        below = float(marginal.cdf(0.0))
        benefit = below if arms.better == "lower" else 1 - below
    return [analysis, quantity, float(marginal.mean), median, float(marginal.sd), lower, upper, benefit, status, said]


def _one_trial(item: StudyChanges) -> list[Any]:
    """The only trial: its own estimate."""
    own = item.contrast
    assert own is not None
    limits = [own.y - Z * own.se, own.y + Z * own.se]
    said = f"one trial ({item.study}): its own estimate and 95 % confidence interval, nothing is pooled"
    return [TRIALS, "mu", own.y, own.y, own.se, *limits, NAN, "single_study", said]


def _before_after_only(arms: ArmChanges, model: NaturalCourseModel, seed: int) -> JointFit | None:
    """The same model of before/after studies and control arms: what treated arms of trials show is left out."""
    if not arms.of("before_after"):
        return None
    items = [replace(i, treated=None) if i.kind == "trial" else i for i in arms.items if i.kind != "contrast"]
    joint = natural_course_joint(model, replace(arms, items=tuple(items)))
    return fit_joint(joint, engine="exact", seed=seed, draws=500)


def _studies(arms: ArmChanges, found: JointFit) -> pd.DataFrame:
    """Arms, course, effect and weights of each study."""
    import pandas as pd

    from metastrata.appraisal.frames import Shown

    of_effect, of_course = weights(found) if found.exact is not None else ([NAN] * len(arms),) * 2
    rows = []
    for i, item in enumerate(arms.items):
        cells: list[Any] = [item.study, item.kind]
        for part in (item.treated, item.control, item.contrast if item.held is None else None):
            cells += [NAN, NAN] if part is None else [part.y, part.se]
        for slot in ("course", "effect"):
            cells += interval_of(found.marginal("theta", item.study, slot))
        rows.append([*cells, float(of_effect[i]), float(of_course[i])])
    return Shown(pd.DataFrame(rows, columns=STUDY_COLUMNS))


def prior_share(studies: pd.DataFrame) -> float:
    """What the studies' weights in the mean course leave to its prior; NaN if there are none."""
    return 1 - float(studies["weight_course"].sum(skipna=False))


def interval_of(marginal: Marginal) -> list[float]:
    """Mean and the limits of the 95 % interval."""
    lower, upper = (float(q) for q in marginal.quantile(POINTS[::2]))
    return [float(marginal.mean), lower, upper]
