"""What an analysis answers of the reporting guidelines: only what is truly in the report or the folder."""

from __future__ import annotations

from metastrata.reporting.document import Link, Text, text
from metastrata.reporting.sections.source import FINE, Source

NO_FACTOR = "no Bayes factor is used"


def answers(report: Source) -> dict[str, Text]:
    """Item to answer; an item without an answer is absent."""
    return {k: v for k, v in (_barg(report) | _robust(report) | _prisma(report)).items() if v}


def _at(anchor: str, words: str) -> Text:
    return (Link(f"#{anchor}", words),)


def _if(condition: object, answer: Text) -> Text:
    return answer if condition else ()


def _has_figure(report: Source, *kinds: str) -> bool:
    return any(figure["kind"].startswith(kinds) for figure in report.results.raw["figures"])


def _prior_answers(report: Source) -> tuple[Text, Text]:
    """Whether priors are justified, and varied."""
    raw = report.results.raw
    stated = raw["model"].get("prior_sources") or {}
    varied = any("prior" in str(a.get("differs", "")) for a in raw["plan"]["alternatives"])
    sweep = any(e["omega_sweep"] for e in raw["endpoints"].values())
    justified = _if(
        stated and len(stated) == len(raw["model"]["priors"]), _at("methods", "Methods: priors with sources")
    )
    sensitivity = _if(varied, _at("sensitivity", "Sensitivity")) or _if(
        sweep, text("omega only: sweep of the between-stratum SD, with each endpoint")
    )
    return justified, sensitivity


def _barg(report: Source) -> dict[str, Text]:
    raw = report.results.raw
    sampled = raw["settings"]["engine"] == "nuts"
    fitted = [e for e in raw["endpoints"].values() if e["status"] not in ("single_study", "no_study")]
    justified, varied = _prior_answers(report)
    mid = any(e["mid"] for e in raw["endpoints"].values())
    mid_source = all(e["mid_source"] for e in raw["endpoints"].values() if e["mid"])
    reliable = all(e["status"] in FINE for e in raw["endpoints"].values())
    checks = _at("diagnostics", "Diagnostics")
    return {
        "BARG B": _if(raw["question"], ("the question under the title",)),
        "BARG 1A": _at("data", "Data as analysed"),
        "BARG 1B": _at("methods", "Methods"),
        "BARG 1C": _if(justified, text("stated and justified: ", justified)),
        "BARG 1D": _at("methods", "Methods: equations"),
        "BARG 1E": _if(raw["model"].get("before_the_data"), _at("methods", "Methods: what the priors say before data")),
        "BARG 2A": _at("repeat", "To repeat this analysis: versions"),
        "BARG 2B": _if(fitted and reliable, checks if sampled else ("no chains: deterministic integration",)),
        "BARG 2C": _if(fitted and reliable, checks if sampled else ("no chains: deterministic integration",)),
        "BARG 2D": _if(fitted, _at("methods", "Methods: deterministic integration, its error in Diagnostics")),
        "BARG 3A": _if(_has_figure(report, "posterior_predictive", "ppc"), ("figure of the posterior predictive",)),
        "BARG 3B": _if(fitted, text("mean, median and 95 % credible interval: ", _at("results", "Results"))),
        "BARG 3C": (NO_FACTOR,),
        "BARG 4A": ("no decision is made; probabilities of benefit are reported",),
        "BARG 4B": ("no decision is made",),
        "BARG 4C": _if(mid and mid_source, text("minimal important difference: ", _at("results", "Results"))),
        "BARG 4D": (NO_FACTOR,),
        "BARG 4E": _if(fitted, _at("results", "Results")),
        "BARG 5A": varied,
        "BARG 5B": varied,
        "BARG 5C": _if(fitted, ("there are no default priors: each is stated in the plan",)),
        "BARG 5D": (NO_FACTOR,),
        "BARG 5E": ("no decision is made",),
        "BARG 6A": _at("repeat", "To repeat this analysis"),
        "BARG 6B": _if(raw["plan"]["file"], ("plan and table are kept in inputs/",)),
        "BARG 6C": _if(raw["plan"]["file"], ("the plan is the script",)),
        "BARG 6D": ("results.json, draws in fit/, hashes in provenance.json",),
        "BARG 6E": _if(raw["plan"]["file"], ("metastrata rerun repeats the run from the folder alone",)),
        "BARG 6F": _if(sampled, ("the seed of each fit is in provenance.json",))
        or _if(fitted, ("the posterior is integrated, draws are seeded",)),
    }  # fmt: skip


def _robust(report: Source) -> dict[str, Text]:
    justified, varied = _prior_answers(report)
    fitted = any(e["status"] in ("reliable", "unreliable") for e in report.results.raw["endpoints"].values())
    return {
        "ROBUST 1": _at("methods", "Methods: priors"),
        "ROBUST 2": justified,
        "ROBUST 3": varied,
        "ROBUST 4": _at("methods", "Methods: equations"),
        "ROBUST 5": _at("methods", "Methods: computation"),
        "ROBUST 6": _if(fitted, _at("results", "Results: posterior means")),
        "ROBUST 7": _if(fitted, _at("results", "Results: 95 % credible intervals")),
    }


def _prisma(report: Source) -> dict[str, Text]:
    raw = report.results.raw
    endpoints = list(raw["endpoints"].values())
    fitted = any(e["status"] in ("reliable", "unreliable") for e in endpoints)
    studies = [study for e in endpoints for study in e["studies"]]
    sources = studies and all(study["source"] for study in studies)
    funnel = _has_figure(report, "funnel")
    few = all(e["k"] < 10 for e in endpoints)
    rated = all(set(e["strata"]) <= set(e["certainty"]) for e in endpoints)
    alternatives = raw["plan"]["alternatives"]
    left_out = any(e["left_out"] for e in endpoints)
    missing = _if(funnel, ("funnel plot",)) or _if(few, ("fewer than 10 studies: no test means anything, said so",))
    return {
        "PRISMA 4": _if(raw["question"], ("the question under the title",)),
        "PRISMA 10a": _if(endpoints, ("endpoints and their direction: the headings of Results",)),
        "PRISMA 12": _at("methods", "Methods: effect measure"),
        "PRISMA 13a": _at("data", "Data as analysed: designs are strata"),
        "PRISMA 13b": _at("data", "Data as analysed: how each effect was derived"),
        "PRISMA 13c": _if(_has_figure(report, "forest"), ("forest plots and tables",)),
        "PRISMA 13d": _at("methods", "Methods: model, heterogeneity, software"),
        "PRISMA 13e": _if(len(raw["strata"]) > 1 and fitted, _at("methods", "Methods: study designs as strata")),
        "PRISMA 13f": _if(alternatives, _at("sensitivity", "Sensitivity: each alternative with its reason")),
        "PRISMA 14": missing,
        "PRISMA 15": _if(rated, _at("findings", "Summary of findings: GRADE")),
        "PRISMA 16a": _if(_has_figure(report, "prisma", "flow"), ("flow diagram",)),
        "PRISMA 16b": _if(left_out, text("rows left out of the analysis: ", _at("data", "Data as analysed"))),
        "PRISMA 17": _if(sources, _at("data", "Data as analysed: source of each row")),
        "PRISMA 18": _if(_has_figure(report, "risk_of_bias", "rob"), ("risk-of-bias figure",)),
        "PRISMA 19": _if(_has_figure(report, "forest"), ("forest plots: each study with its interval",)),
        "PRISMA 20b": _if(fitted, _at("results", "Results, and the comparison of each endpoint: tau, direction")),
        "PRISMA 20c": _if(fitted and len(raw["strata"]) > 1, ("contrasts between designs: Results",)),
        "PRISMA 20d": _if(alternatives, _at("sensitivity", "Sensitivity")),
        "PRISMA 21": missing,
        "PRISMA 22": _if(rated, _at("findings", "Summary of findings")),
        "PRISMA 23b": ("what this analysis cannot know, with each endpoint",),
        "PRISMA 27": _if(raw["plan"]["file"], ("plan, table, results and draws are in the folder of this report",)),
    }  # fmt: skip
