"""What is set beside a natural course: a plain shift of before/after studies, no correction, the trials alone.

Nothing is fitted, and nothing heavy loaded: `metastrata check` asks this too.
"""

from __future__ import annotations

from typing import Any

from metastrata.evidence.arm_changes import ArmChanges
from metastrata.evidence.effect_set import Effects
from metastrata.model.model import Model
from metastrata.model.natural_course import NaturalCourseModel
from metastrata.model.parameters import PriorSpec

SHIFTED, PLAIN, TRIALS = "plain shift", "no correction", "trials only"


def simpler_answers(
    arms: ArmChanges, model: NaturalCourseModel, bias: PriorSpec | None = None
) -> dict[str, tuple[Model, Effects]]:
    """The model of each simpler answer and the effects it is fitted to, by name.

    Parameters
    ----------
    arms : ArmChanges
    model : NaturalCourseModel
        Whose priors of mu and tau they share.
    bias : prior, optional
        Of the shift; by default the prior of `course`.

    Raises
    ------
    ModelError, PriorError
        If the prior of the bias cannot be.
    """
    known = [(item, item.treated if item.kind == "before_after" else item.contrast) for item in arms.items]
    pairs = [(item, part) for item, part in known if part is not None]
    effects = Effects.from_estimates(
        [part.y for _, part in pairs],
        [part.se for _, part in pairs],
        study=[item.study for item, _ in pairs],
        stratum=["before_after" if item.kind == "before_after" else "trials" for item, _ in pairs],
        better=arms.better,
    )
    plain: dict[str, Any] = {"mu": model.prior("mu"), "tau": model.prior("tau")}
    shift: dict[str, Any] = {**plain, "bias": model.prior("course") if bias is None else bias}
    common = Model(mean="common", heterogeneity="common", priors=plain)
    asked: dict[str, tuple[Model, Effects]] = {}
    if arms.of("before_after"):
        shifted = Model(mean="biased", heterogeneity="common", reference="trials", priors=shift)
        asked = {SHIFTED: (shifted, effects), PLAIN: (common, effects)}
    if len(effects.stratum("trials")) > 1:
        asked[TRIALS] = (common, effects.stratum("trials"))
    return asked
