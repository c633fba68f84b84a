"""The parts of a plan that say how its figures look: [figures], [[risk_of_bias]] and [prisma]."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from metastrata.model.plan_sections import Frozen

Format = Literal["svg", "png", "pdf"]
Count = Annotated[int, Field(ge=0)]


def _two_names(value: Any) -> Any:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError('two names are wanted: ["treatment", "control"]')
    return tuple(value)


class FigureChoices(Frozen):
    """How the figures look; the choices of `forest_table`."""

    columns: list[str] = Field(default_factory=lambda: ["n", "data"])
    style: Literal["default", "revman", "compact"] = "default"
    mid: bool = True
    excluded: bool = True
    frequentist: Literal["none", "overall", "strata"] = "overall"
    favours: Annotated[tuple[str, str], BeforeValidator(_two_names)] | None = None
    ratio: bool = True
    same_axis: bool = False
    rows_per_page: int = Field(default=40, ge=5)
    formats: list[Format] = Field(default_factory=lambda: list[Format](("svg", "png")))
    moderators: list[str] = Field(default_factory=list)
    companions: bool = True


class RiskOfBiasFile(Frozen):
    """Judgements of risk of bias: the tool, and a file; without one, they stand in columns of the study table."""

    data: str = ""
    tool: str = "RoB 2"


class Prisma(Frozen):
    """The counts of a PRISMA 2020 flow diagram (Page and others 2021, BMJ 372:n71).

    Attributes
    ----------
    databases, registers : mapping from a source to the records found there
    duplicates, automation, other_removed : int
        Records removed before screening.
    screened, excluded, sought, not_retrieved, assessed : int
        Records screened and excluded; reports sought, not retrieved, and assessed for eligibility.
    reasons : mapping from a reason to the reports excluded for it
    other_sources : mapping from a source (websites, citation searching) to the records found there
    other_sought, other_not_retrieved, other_assessed : int
    other_reasons : mapping
        The same for these.
    studies, reports : int
        Studies included in the review, and reports of them.
    source : str
        Where the counts are from.
    """

    databases: dict[str, Count] = Field(default_factory=dict)
    registers: dict[str, Count] = Field(default_factory=dict)
    duplicates: Count = 0
    automation: Count = 0
    other_removed: Count = 0
    screened: Count
    excluded: Count
    sought: Count | None = None
    not_retrieved: Count = 0
    assessed: Count
    reasons: dict[str, Count] = Field(default_factory=dict)
    other_sources: dict[str, Count] = Field(default_factory=dict)
    other_sought: Count | None = None
    other_not_retrieved: Count = 0
    other_assessed: Count = 0
    other_reasons: dict[str, Count] = Field(default_factory=dict)
    studies: Count
    reports: Count | None = None
    source: str = ""

    @property
    def identified(self) -> int:
        """Records from databases and registers."""
        return sum(self.databases.values()) + sum(self.registers.values())

    @property
    def reports_sought(self) -> int:
        """Reports sought for retrieval; by default every record that was not excluded."""
        return self.screened - self.excluded if self.sought is None else self.sought

    @property
    def other_reports_sought(self) -> int:
        """The same of other sources; by default every record found there."""
        return sum(self.other_sources.values()) if self.other_sought is None else self.other_sought

    @model_validator(mode="after")
    def _adds_up(self) -> Prisma:
        removed = self.duplicates + self.automation + self.other_removed
        included = self.assessed - sum(self.reasons.values()) + self.other_assessed - sum(self.other_reasons.values())
        sums = [
            ("records screened", self.screened, "identified minus removed", self.identified - removed),
            ("reports sought", self.reports_sought, "screened minus excluded", self.screened - self.excluded),
            ("reports assessed", self.assessed, "sought minus not retrieved", self.reports_sought - self.not_retrieved),
            ("other reports assessed", self.other_assessed, "sought minus not retrieved",
             self.other_reports_sought - self.other_not_retrieved),
        ]  # fmt: skip
        if self.reasons or self.other_reasons or self.reports is not None:
            reports = self.studies if self.reports is None else self.reports
            sums.append(("reports included", reports, "assessed minus excluded with reasons", included))
        if not self.databases and not self.registers:
            sums = sums[1:]
        for what, said, how, found in sums:
            if said != found:
                raise ValueError(f"the counts do not add up: {what} {said}, but {how} gives {found}")
        return self
