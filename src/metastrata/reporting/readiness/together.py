"""[endpoints_together]: several endpoints at once, of one trial or in one model of many studies."""

from __future__ import annotations

from metastrata.appraisal.one_trial import as_studies, domains_of_trial
from metastrata.errors import PriorError
from metastrata.evidence.choosing import chosen
from metastrata.evidence.effect_set import Effects
from metastrata.inference.design import arrange
from metastrata.inference.endpoints.means import means_of, prior_for
from metastrata.inference.endpoints.packing import Packed, pack, require_benefit
from metastrata.model.families import LKJ
from metastrata.model.model import Model
from metastrata.model.plan import Plan
from metastrata.model.plan_joint import JointChoices
from metastrata.model.plan_together import TogetherChoices
from metastrata.reporting.readiness.found import Found, count

WHERE = "[endpoints_together]"


def ask_together(plan: Plan, effects: Effects) -> Found:
    """Whether the endpoints can be taken together as the plan asks, under each variant."""
    found, choices = Found(), plan.endpoints_together
    if choices is None:
        return found
    if isinstance(choices, JointChoices):
        return _joint(plan, choices, chosen(effects, choices.endpoints))
    return _one_trial(plan, choices, effects)


def _one_trial(plan: Plan, choices: TogetherChoices, effects: Effects) -> Found:
    found = Found()
    for variant in (None, *choices.variants):
        asked = choices.changed(variant)
        model = Model(mean="common", heterogeneity="common", priors=asked.priors)
        with found.at(f"{WHERE}{f', {variant.name}' if variant else ''}"):
            for name, part in domains_of_trial(effects, asked.rho, asked.domains).items():
                if len(part) > 1:
                    arrange(model, as_studies(name, part, asked.rho, effects.measure))
    trial = next(iter(effects.studies), "no study")
    domains = "; ".join(f"{name}: {', '.join(plan.endpoints[e].label for e in members)}"
                        for name, members in choices.domains.items())  # fmt: skip
    found.lines.append(f"{WHERE} one trial ({trial}), by domain: {domains}; rho = {choices.rho:g}"
                       f"{_variants(len(choices.variants))}")  # fmt: skip
    return found


def _joint(plan: Plan, choices: JointChoices, effects: Effects) -> Found:
    found = Found()
    packed: Packed | None = None
    for variant in (None, *choices.variants):
        with found.at(f"{WHERE}{f', {variant.name}' if variant else ''}"):
            seen = _packed(choices.model(plan.model, variant), effects)
            packed = seen if variant is None else packed
    if packed is not None:
        several = int((packed.there.sum(axis=1) > 1).sum())
        labels = ", ".join(plan.endpoints[name].label for name in packed.endpoints)
        found.lines.append(f"{WHERE} {choices.mode}: {labels} in one model; "
                           f"{count(len(packed.studies), 'study', 'studies')}, {several} with several of them; errors "
                           f"within a study: {_within(choices, plan)}{_variants(len(choices.variants))}")  # fmt: skip
    return found


def _packed(model: Model, effects: Effects) -> Packed:
    """The effects by study, after everything that the joint model demands of them and of its priors."""
    if model.mean == "offset":
        require_benefit(effects, "what a design adds is learned across endpoints in the direction of benefit")
    packed = pack(model, effects)
    means_of(model, packed)
    shared = model.heterogeneity == "common" or len(packed.strata) == 1
    for e, endpoint in enumerate(packed.endpoints):
        for s in packed.observed(e):
            prior_for(model, "tau", packed, *((endpoint,) if shared else (endpoint, packed.strata[s])))
    for name in ("omega", "omega_offset", "rho_within"):
        if name in model.priors:
            prior_for(model, name, packed)
    rho, size = prior_for(model, "rho", packed), len(packed.endpoints)
    if size > 2 and rho.family != LKJ:
        raise PriorError(f"rho ~ {rho}: the correlations of {size} endpoints must make a matrix; lkj(eta) is the prior "
                         "of one")  # fmt: skip
    return packed


def _within(choices: JointChoices, plan: Plan) -> str:
    """What is said of the correlation within studies."""
    model = choices.model(plan.model)
    if "rho_within" in model.priors:
        return f"rho_within ~ {model.prior('rho_within')}"
    if model.within is None:
        return "as known"
    return f"correlated {model.within:g}" if isinstance(model.within, float) else "correlated as stated by pair"


def _variants(number: int) -> str:
    return f"; {count(number, 'variant')}" if number else ""
