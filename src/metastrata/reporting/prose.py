"""The sentences of a report: made from the results, in clinical English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metastrata.evidence.measures import MEASURES
from metastrata.plots.style import interval, number
from metastrata.plots.tables import probability
from metastrata.reporting.results import EndpointResult, RunResult


def p_text(p: float) -> str:
    """A probability inside a sentence: "0.98", "more than 0.999"."""
    text = probability(p)
    return text.replace("> ", "more than ").replace("< ", "less than ")


def key_sentences(result: RunResult, part: EndpointResult) -> list[str]:
    """What was found for an endpoint, one sentence a design, and what is published."""
    return _found(result, part) + _published(part)


def _published(part: EndpointResult) -> list[str]:
    published = part.endpoint.published
    if published is None:
        return []
    note = f" ({published.note})" if published.note else ""
    values = interval(published.estimate, *published.ci)
    return [f"Published, {published.source or 'no source given'}: {values}{note}."]


def _found(result: RunResult, part: EndpointResult) -> list[str]:
    if part.status == "no_study":
        return ["No study can be analysed for this endpoint; the rows left out are listed below."]
    if part.fit is None:
        row = part.summary.iloc[0]
        values = interval(row["mean"], row["eti95_lower"], row["eti95_upper"])
        return [
            f"One study only ({row['study']}): {values} (its own estimate and 95 % confidence interval). "
            "Nothing is pooled, and nothing can be said of how much the effect varies between studies."
        ]
    table, strata = part.summary, result.plan.strata
    sentences = []
    if part.status != "reliable":
        sentences.append(f"NOT RELIABLE ({'; '.join(part.reasons)}): do not use these numbers.")
    for row in table[table["quantity"] == "mu_stratum"].itertuples():
        new = table[(table["quantity"] == "theta_new") & (table["stratum"] == row.stratum)].iloc[0]
        k = int(part.fit.design.counts[part.fit.design.strata.index(row.stratum)])
        sentences.append(
            f"{strata[row.stratum]} ({k} {'study' if k == 1 else 'studies'}): mean "
            f"{interval(row.mean, row.eti95_lower, row.eti95_upper)}{_chances(row, part)}. A new study of this design "
            f"is expected between {number(new['eti95_lower'])} and {number(new['eti95_upper'])}."
        )
    for row in table[table["quantity"] == "contrast"].itertuples():
        first, second = row.stratum.split(" - ")
        sentences.append(
            f"Difference between designs, {strata[first]} minus {strata[second]}: "
            f"{interval(row.mean, row.eti95_lower, row.eti95_upper)}."
        )
    overall = table[table["quantity"] == "mu"]
    if len(overall) and len(part.fit.design.strata) > 1:
        row = next(overall.itertuples())
        what = "if designs are exchangeable" if part.fit.design.mean == "exchangeable" else "if designs do not differ"
        sentences.append(
            f"All designs together, {what}: mean {interval(row.mean, row.eti95_lower, row.eti95_upper)}"
            f"{_chances(row, part)}."
        )
    return sentences


def _chances(row: Any, part: EndpointResult) -> str:
    text = f"; probability of benefit {p_text(row.p_benefit)}"
    if part.endpoint.mid is not None:
        text += f", of a benefit larger than the minimal important difference {p_text(row.p_beyond_mid)}"
    return text


def cannot_know(result: RunResult, part: EndpointResult) -> list[str]:
    """What the analysis of an endpoint cannot know."""
    said = []
    strata = result.plan.strata
    if part.fit is not None:
        design = part.fit.design
        table = part.summary
        if design.omega is not None and len(design.strata) <= 3:
            many = {2: "Two", 3: "Three"}[len(design.strata)]
            row = table[table["quantity"] == "omega"].iloc[0]
            said.append(
                f"How much designs differ. {many} strata say almost nothing about the between-stratum SD omega: its "
                f"posterior (median {number(row['median'])}, prior {design.omega}) is mostly its prior, and with it "
                "how much the designs borrow from each other."
            )
        for name, k in zip(design.strata, design.counts, strict=True):
            if k <= 2:
                studies = "one study" if k == 1 else "two studies"
                said.append(
                    f"How much the effect varies between studies in: {strata[name]}. With {studies} tau is "
                    f"{'its prior, not an estimate' if k == 1 else 'mostly its prior'}."
                )
        if len(design.studies) < 10:
            said.append(
                f"Whether studies are missing because of their results: {len(design.studies)} studies are too few for "
                "a funnel plot or a test of asymmetry to mean anything (at least 10)."
            )
    uncontrolled = [i for i in part.effects.items if i.cells.get("mean_before") is not None]
    if uncontrolled or any("before" in i.stratum or "self_controlled" in i.stratum for i in part.effects.items):
        said.append(
            "How patients would have done without treatment. Before/after studies have no control group: regression "
            "to the mean, the natural course and other treatments are part of their effects."
        )
    assumed = [i for i in part.effects.items if i.origin == "assumed"]
    if assumed:
        names = ", ".join(i.study for i in assumed)
        said.append(
            f"The pre-post correlation of {names}: it is not printed, and the plan's value stands in for it"
            f"{_source(result)}. See the sensitivity analyses."
        )
    return said


def _source(result: RunResult) -> str:
    source = result.plan.effects.r_source
    return f" ({source.rstrip('.')})" if source else ""


def methods(result: RunResult, versions: Mapping[str, str], settings: Mapping[str, Any]) -> list[str]:
    """Methods text, ready to paste."""
    plan = result.plan
    model = plan.statistical_model()
    fitted = [e.fit for e in result.endpoints if e.fit]
    several = len(plan.strata) > 1
    text = [
        f"Effects were expressed as {_measure(plan.effects.measure)}, signed as treated minus control, or after minus "
        "before. " + _derivation_text(result),
        _model_text(result),
        f"Priors: {'; '.join(f'{k} ~ {v}' for k, v in model.prior_lines().items() if several or k != 'omega')}.",
        *_computation(settings, versions),
        "The frequentist answers are the inverse-variance fixed effect, and random effects by DerSimonian-Laird with a "
        "Wald interval and by restricted maximum likelihood (REML) with Wald and Hartung-Knapp-Sidik-Jonkman (HKSJ) "
        "intervals.",
        f"Analysis: metastrata {versions['metastrata']}.",
    ]
    if not fitted:
        text.insert(3, "No endpoint had two studies or more: nothing was pooled.")
    return text


def _measure(code: str) -> str:
    name = MEASURES[code].name
    return f"{name} (Hedges g, in standard deviations)" if code == "SMD" else name


def _computation(settings: Mapping[str, Any], versions: Mapping[str, str]) -> list[str]:
    exact = (
        "deterministic integration over tau and omega with every mean integrated in closed form, refined until means, "
        "SDs and quantiles changed by less than 1e-5 posterior SDs"
    )
    if settings["engine"] == "exact":
        return [f"Posteriors were computed by {exact}. Intervals are 95 % equal-tailed credible intervals."]
    return [
        "Study effects and stratum means were integrated out and drawn exactly afterwards. Posteriors were sampled "
        f"with NUTS (PyMC {versions['pymc']}, nutpie {versions['nutpie']}): {settings['chains']} chains of "
        f"{settings['draws']} draws after {settings['tune']} tuning steps, target acceptance 0.99, seed "
        f"{settings['seed']}. A fit counts as reliable with no divergence, R-hat at most 1.01, bulk and tail effective "
        "sample sizes of at least 400 and E-BFMI of at least 0.3 for every quantity reported (ArviZ "
        f"{versions['arviz']}), and if it agrees within 4 Monte Carlo standard errors with {exact}; otherwise it is "
        "repeated once with target acceptance 0.999, and shown as unreliable if that fails. Sensitivity analyses were "
        "integrated. Intervals are 95 % equal-tailed credible intervals."
    ]


def _model_text(result: RunResult) -> str:
    model, strata = result.plan.statistical_model(), len(result.plan.strata)
    means = {
        "exchangeable": "stratum means are exchangeable around an overall mean, with between-stratum SD omega",
        "common": "all strata share one mean",
        "independent": "each stratum has a mean of its own, with no borrowing",
    }[model.mean]
    tau = "one between-study SD tau" if model.heterogeneity == "common" else "a between-study SD tau for each stratum"
    if strata == 1:
        return "A normal-normal random-effects model was fitted to each endpoint."
    return (
        f"A hierarchical normal-normal model was fitted to each endpoint, with study designs as strata: {means}; {tau}."
    )


def _derivation_text(result: RunResult) -> str:
    seen = dict.fromkeys(i.derivation for e in result.endpoints for i in e.effects.items)
    return "Derivations used: " + "; ".join(seen) + "." if seen else ""
