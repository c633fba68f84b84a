"""What the analysis of an endpoint cannot know."""

from __future__ import annotations

from metastrata.reporting.document import Block, Bullets, Heading, Text, joined, text
from metastrata.reporting.record import Node
from metastrata.reporting.sections.source import Source

FEW_FOR_FUNNEL = 10


def build(report: Source, name: str) -> list[Block]:
    """A sentence for each thing that the data cannot tell."""
    said = sentences(report, report.results["endpoints"][name])
    return [Heading(("What this analysis cannot know",)), Bullets(tuple(said))] if said else []


def sentences(report: Source, endpoint: Node) -> list[Text]:
    """The sentences alone."""
    said: list[Text] = []
    if endpoint.raw["status"] not in ("single_study", "no_study"):
        said += [*_omega(endpoint), *_tau(report, endpoint), *_missing(endpoint)]
    studies = list(endpoint["studies"])
    if any(study.raw["uncontrolled"] for study in studies):
        asked = report.results["natural_course"]["endpoints"] if "natural_course" in report.results else ()
        told = any(part.raw["label"] == endpoint.raw["label"] for part in asked)
        hint = " What control arms of trials tell of it stands in the section on the natural course." if told else ""
        said.append(
            (
                "How patients would have done without treatment. Before/after studies have no control group: "
                f"regression to the mean, the natural course and other treatments are part of their effects.{hint}",
            )
        )
    if assumed := [study for study in studies if study.raw["origin"] == "assumed"]:
        names = joined(study["study"].words() for study in assumed)
        source = report.results["plan"]["r_source"]
        why = text(" (", source.shown(source.raw.rstrip(".")), ")") if source.raw else ()
        said.append(
            text(
                "The pre-post correlation of ", names, ": it is not printed, and the plan's value stands in for it",
                why, ". See the sensitivity analyses.",
            )
        )  # fmt: skip
    return [*said, *_same_patients(report)]


def _same_patients(report: Source) -> list[Text]:
    """The correlation of errors that a plan assumes for effects of the same patients."""
    plan = report.results["plan"]
    if not plan.raw.get("cluster"):
        return []
    return [
        text(
            "How strongly the errors of effects of the same patients (column ", plan["cluster"].words(),
            ") are correlated: ", plan["rho"].num(), " is assumed (", plan["rho_source"].shown(
                plan.raw["rho_source"].rstrip(".")), ").",
        )
    ]  # fmt: skip


def _omega(endpoint: Node) -> list[Text]:
    row, strata = endpoint["summary"].find(quantity="omega"), len(endpoint["strata"])
    if row is None or strata > 3 or endpoint.raw["omega"] is None:
        return []
    many = {2: "Two", 3: "Three"}[strata]
    how = {2: "almost nothing", 3: "little"}[strata]
    return [
        text(
            f"How much designs differ. {many} strata say {how} about the between-stratum SD omega: its "
            "posterior (median ", row["median"].num(), ", prior ", endpoint["omega"]["prior"].words(),
            ") is mostly its prior, and with it how much the designs borrow from each other.",
        )
    ]  # fmt: skip


def _tau(report: Source, endpoint: Node) -> list[Text]:
    said = []
    for name, stratum in endpoint["strata"].items():
        k = stratum.raw["k"]
        if k <= 2:
            many, what = ("one study", "its prior, not an estimate") if k == 1 else ("two studies", "mostly its prior")
            said.append(
                text(
                    "How much the effect varies between studies in: ", report.label(name),
                    f". With {many} tau is {what}.",
                )
            )  # fmt: skip
    return said


def _missing(endpoint: Node) -> list[Text]:
    k = endpoint["k"]
    if k.raw >= FEW_FOR_FUNNEL:
        return []
    return [
        text(
            "Whether studies are missing because of their results: ", k.count(),
            " studies are too few for a funnel plot or a test of asymmetry to mean anything "
            f"(at least {FEW_FOR_FUNNEL}).",
        )
    ]  # fmt: skip
