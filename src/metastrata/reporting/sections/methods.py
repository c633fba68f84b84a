"""Methods text made from the plan, ready to paste, and the equations of the model."""

from __future__ import annotations

from typing import Any

from metastrata.evidence.measures import MEASURES
from metastrata.reporting.document import Block, Lines, Paragraph, Section, Text, joined, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

EXACT = (
    "deterministic integration over tau and omega with every mean integrated in closed form, refined until means, SDs "
    "and quantiles changed by less than 1e-5 posterior SDs"
)
MEANS = {
    "exchangeable": "stratum means are exchangeable around an overall mean, with between-stratum SD omega",
    "common": "all strata share one mean",
    "independent": "each stratum has a mean of its own, with no borrowing",
    "biased": "one stratum is taken as free of bias, and the means of the others are shifted by a bias with a prior",
}
TAUS = {
    "common": "one between-study SD tau",
    "independent": "a between-study SD tau for each stratum",
    "exchangeable": "a between-study SD tau for each stratum, exchangeable around a typical one",
}


def build(report: Source) -> Section:
    """Paragraphs, and the equations."""
    blocks: list[Block] = [Paragraph(p) for p in paragraphs(report)]
    blocks.append(Lines(tuple(report.results.raw["model"]["equations"])))
    return Section("methods", ("Methods",), tuple(blocks), "Methods")


def paragraphs(report: Source) -> list[Text]:
    """The text, paragraph by paragraph."""
    results = report.results
    fitted = [e for _, e in results["endpoints"].items() if e.raw["status"] not in ("single_study", "no_study")]
    nothing = (
        "No endpoint had two studies or more: nothing was pooled, and the priors above have no effect on any number of "
        "this report. They are stated for the day a second study enters."
    )
    return [
        _effects(results),
        (_model(results),),
        _priors(results),
        *_before(results),
        *_elicited(results),
        *([] if fitted else [(nothing,)]),
        _computation(results),
        _frequentist(results),
        text("Analysis: metastrata ", results["metastrata"].words(), "."),
    ]


def _effects(results: Node) -> Text:
    code = results.raw["measure"]
    name = MEASURES[code].name
    name = f"{name} (Hedges g, in standard deviations)" if code == "SMD" else name
    seen: dict[str, Text] = {}
    for _, endpoint in results["endpoints"].items():
        for study in endpoint["studies"]:
            seen.setdefault(study.raw["derivation"], study["derivation"].words())
    used = text(" Derivations used: ", joined(seen.values(), "; "), ".") if seen else ()
    return text(f"Effects were expressed as {name}, signed as treated minus control, or after minus before.", used)


def _model(results: Node) -> str:
    model = results.raw["model"]
    if len(results.raw["strata"]) == 1:
        return f"A random-effects model was fitted to each endpoint with two studies or more{_beside(model)}."
    free = f" (free of bias: {results.raw['strata'][model['reference']]})" if model.get("reference") else ""
    return (
        "A hierarchical random-effects model was fitted to each endpoint with two studies or more, with study designs "
        f"as strata: {MEANS[model['mean']]}{free}; {TAUS[model['heterogeneity']]}{_beside(model)}."
    )


def _beside(model: dict[str, Any]) -> str:
    """What else the model has, if anything."""
    inflated = ", ".join(f"{name} times {factor:g}" for name, factor in (model.get("inflation") or {}).items())
    parts = {
        f"; moderators {model.get('moderators')}": model.get("moderators"),
        f"; several effects of one study nested by {model.get('nested')}": model.get("nested"),
        f"; sampling variances inflated ({inflated})": inflated,
    }
    return "".join(words for words, there in parts.items() if there)


def _priors(results: Node) -> Text:
    several = len(results.raw["strata"]) > 1
    model = results["model"]
    lines = [v.words() for k, v in model["prior_words"].items() if several or k != "omega"]
    cited = model["prior_citations"]
    sources = text(" Sources: ", joined([c.words() for c in cited], " ")) if cited.raw else ()
    return text("Priors: ", joined(lines, ". "), ".", sources)


def _before(results: Node) -> list[Text]:
    """What the priors say before the data, and where that is absurd."""
    model = results["model"]
    said = [line.words() for line in model["before_the_data"]]
    warned = [text("Warning: ", line.words(), ".") for line in model["absurd"]]
    return [text(joined([*said, *warned], " "))] if said else []


def _elicited(results: Node) -> list[Text]:
    return [text("Elicited. ", line.words()) for line in results["model"]["elicited"]]


def _frequentist(results: Node) -> Text:
    names = joined([name.words() for name in results["classical"]], "; ")
    return text("Frequentist answers: ", names, ".")


def _computation(results: Node) -> Text:
    settings, versions = results["settings"], results["versions"]
    if settings.raw["engine"] == "exact":
        return (f"Posteriors were computed by {EXACT}. Intervals are 95 % equal-tailed credible intervals.",)
    return text(
        "Study effects and stratum means were integrated out and drawn exactly afterwards. Posteriors were sampled "
        "with NUTS (PyMC ", versions["pymc"].words(), ", nutpie ", versions["nutpie"].words(), "): ",
        settings["chains"].count(), " chains of ", settings["draws"].words(), " draws after ",
        settings["tune"].words(), " tuning steps, target acceptance 0.99, seed ", settings["seed"].words(),
        ". A fit counts as reliable with no divergence, R-hat at most 1.01, bulk and tail effective sample sizes of "
        "at least 400 and E-BFMI of at least 0.3 for every quantity reported (ArviZ ", versions["arviz"].words(),
        f"), and if it agrees within 4 Monte Carlo standard errors with {EXACT}; otherwise it is repeated once with "
        "target acceptance 0.999, and shown as unreliable if that fails. Sensitivity analyses were integrated. "
        "Intervals are 95 % equal-tailed credible intervals.",
    )  # fmt: skip
