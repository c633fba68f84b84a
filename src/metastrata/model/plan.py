"""The plan of an analysis: a TOML file read into frozen, checked objects."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from metastrata.errors import MetastrataError, PlanError, nearest, unknown
from metastrata.evidence.effects import Better
from metastrata.evidence.recipes import Options
from metastrata.evidence.screening import Acknowledgement
from metastrata.model.conclusions import conclusion
from metastrata.model.crossing import crossed
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec, parameters_of
from metastrata.model.plan_elicited import ElicitedEntry as ElicitedEntry
from metastrata.model.plan_events import EventsChoices, SafetyChoices
from metastrata.model.plan_faults import explain
from metastrata.model.plan_figures import FigureChoices as FigureChoices
from metastrata.model.plan_figures import Prisma as Prisma
from metastrata.model.plan_figures import RiskOfBiasFile as RiskOfBiasFile
from metastrata.model.plan_file import read_bytes
from metastrata.model.plan_natural_course import NaturalCourseChoices as NaturalCourseChoices
from metastrata.model.plan_sections import Acknowledge as Acknowledge
from metastrata.model.plan_sections import Alternative as Alternative
from metastrata.model.plan_sections import ClassicalChoices as ClassicalChoices
from metastrata.model.plan_sections import ConclusionText, Frozen, TableSection
from metastrata.model.plan_sections import EffectChoices as EffectChoices
from metastrata.model.plan_sections import Endpoint as Endpoint
from metastrata.model.plan_sections import ModelChoices as ModelChoices
from metastrata.model.plan_together import TogetherChoices, TogetherSection
from metastrata.model.plan_visits import VisitsChoices
from metastrata.model.prior_support import stated_priors
from metastrata.model.reporting_items import ITEMS

CHANGEABLE = ("mean", "heterogeneity", "reference", "inflation", "moderators",
              "likelihood", "study_effects", "weights", "correlation")  # fmt: skip


class Plan(Frozen):
    """The plan of an analysis.

    Read one with `read_plan`. Attributes are the keys of the file; see ``docs/guide.md``.
    """

    title: str
    data: Annotated[str, Field(min_length=1)]
    question: str = ""
    notes: list[str] = Field(default_factory=list)
    seed: int = Field(default=1, ge=0)
    table_format: TableSection = Field(default=TableSection(), alias="table")
    figures: FigureChoices = FigureChoices()
    risk_of_bias: list[RiskOfBiasFile] = Field(default_factory=list)
    prisma: Prisma | None = None
    effects: EffectChoices = EffectChoices()
    strata: dict[str, str]
    model: ModelChoices
    endpoints: dict[str, Endpoint]
    conclusions: list[ConclusionText] = Field(default_factory=list)
    alternatives: list[Alternative] = Field(default_factory=list)
    acknowledge: list[Acknowledge] = Field(default_factory=list)
    elicited: list[ElicitedEntry] = Field(default_factory=list)
    overall_in_figure: bool = False
    formats: list[str] = Field(default_factory=lambda: ["html"])
    checklist: dict[str, str] = Field(default_factory=dict)
    classical: ClassicalChoices = ClassicalChoices()
    endpoints_together: TogetherSection | None = None
    safety: SafetyChoices | None = None
    events: EventsChoices | None = None
    visits: VisitsChoices | None = None
    natural_course: NaturalCourseChoices | None = None
    path: Path = Path()
    sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Plan:
        if not self.endpoints:
            raise ValueError("the plan has no endpoint: add [endpoints.name]")
        if not self.strata:
            raise ValueError("the plan has no stratum: add [strata]")
        priors = stated_priors(self.statistical_model())
        for entry in self.elicited:
            entry.prior_of(priors)
        if isinstance(self.endpoints_together, TogetherChoices):
            self.endpoints_together.check_endpoints(self.endpoints)
        elif self.endpoints_together is not None:
            self.endpoints_together.check_against(self.model, self.endpoints, self.strata)
        if self.visits is not None:
            self.visits.check_names(self.endpoints, self.strata)
        if self.natural_course is not None:
            self.natural_course.check_endpoints(self.endpoints)
        self._check_reporting()
        self._check_conclusions()
        names = [a.name for a in self.alternatives if a.set is None]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two alternatives are called '{name}'")
        for alternative in self.alternatives:
            for endpoint in alternative.endpoints:
                if endpoint not in self.endpoints:
                    raise ValueError(
                        f"alternative '{alternative.name}': {unknown('endpoint', endpoint, self.endpoints)}"
                    )
            try:
                self.statistical_model(alternative)
                self.options(alternative)
            except ValueError as error:
                raise ValueError(f"alternative '{alternative.name}': {error}") from None
        return self

    def _check_reporting(self) -> None:
        """Refuse what only the report needs, if it cannot be used."""
        for item in self.checklist:
            if item not in ITEMS:
                raise ValueError(
                    f"checklist: no item '{item}'{nearest(item, ITEMS)} (BARG 1E, ROBUST 2, PRISMA 13a, ...)"
                )
        if self.events is not None:
            self.events.check(self.effects.measure, self.strata)
        for name, endpoint in self.endpoints.items():
            if not name.strip() or name.startswith(".") or set(name) & set('/\\:*?"<>|\n'):
                raise ValueError(
                    f"endpoint '{name}': its name becomes that of files; put slashes and the like in label"
                )
            for stratum in endpoint.certainty:
                if stratum not in self.strata:
                    raise ValueError(f"endpoints.{name}.certainty: {unknown('stratum', stratum, self.strata)}")
            if endpoint.absolute is not None:
                try:
                    endpoint.absolute.check(self.effects.measure, self.strata)
                except ValueError as error:
                    raise ValueError(f"endpoints.{name}.absolute: {error}") from None
            standardised = self.effects.measure.startswith("SM") or self.effects.measure in ("GEN", "PPC2")
            if (endpoint.scale or endpoint.responders) and not standardised:
                raise ValueError(
                    f"endpoints.{name}: points of a scale and responders come from standardised effects; "
                    f"the measure is {self.effects.measure}"
                )

    def _check_conclusions(self) -> None:
        for text in (*self.conclusions, *(c for e in self.endpoints.values() for c in e.conclusions)):
            stated = conclusion(text)
            if stated.name.startswith(("mu_stratum[", "tau[", "theta_new[")) and stated.label not in self.strata:
                raise ValueError(f"conclusion '{text}': {unknown('stratum', stated.label, self.strata)}")

    def conclusions_of(self, endpoint: str) -> list[str]:
        """The conclusions stated for an endpoint: those of the plan, and its own."""
        return list(dict.fromkeys([*self.conclusions, *self.endpoints[endpoint].conclusions]))

    @property
    def name(self) -> str:
        """The plan's name: that of its file."""
        return self.path.stem

    @property
    def table(self) -> Path:
        """Path of the study table, relative to the plan file."""
        return (self.path.parent / self.data).resolve()

    def statistical_model(self, alternative: Alternative | None = None) -> Model:
        """The model of the main analysis, or of an alternative."""
        base = self.model
        changes = {name: getattr(alternative, name) for name in CHANGEABLE} if alternative else {}
        choices = {name: getattr(base, name) for name in (*CHANGEABLE, "nested")}
        choices |= {name: value for name, value in changes.items() if value is not None}
        if choices["mean"] != "biased" and base.mean == "biased":
            choices["reference"] = None
        priors: dict[str, PriorSpec] = dict(base.priors)
        has = parameters_of(**{name: choices[name] for name in ("mean", "heterogeneity", "moderators", "nested")})
        if alternative:  # what its model no longer has needs no prior; what it adds must have one
            gone = set(parameters_of(base.mean, base.heterogeneity, base.moderators, base.nested)) - set(has)
            if choices["likelihood"] == "normal":
                gone.add("baseline")
            priors = {name: p for name, p in priors.items() if name not in gone} | alternative.priors
        model = Model(priors=priors, **choices)
        self._check_strata_of(model)
        return model

    def _check_strata_of(self, model: Model) -> None:
        """Refuse strata that the plan does not have, and priors that lack one it has."""
        if model.reference is not None and model.reference not in self.strata:
            raise ValueError(f"reference: {unknown('stratum', model.reference, self.strata)}")
        for key in ("inflation", "weights"):
            for stratum in getattr(model, key):
                if stratum not in self.strata:
                    raise ValueError(f"{key}: {unknown('stratum', stratum, self.strata)}")
        for name in ("tau", "bias"):
            spec = model.priors.get(name)
            if not isinstance(spec, Mapping):
                continue
            for stratum in spec:
                if stratum not in self.strata:
                    raise ValueError(f"prior of {name}: {unknown('stratum', stratum, self.strata)}")
            needed = [s for s in self.strata if name == "tau" or s != model.reference]
            missing = [repr(stratum) for stratum in needed if stratum not in spec]
            if missing:
                raise ValueError(f"prior of {name}: none for the stratum {', '.join(missing)}")

    def options(self, alternative: Alternative | None = None) -> Options:
        """How effects are derived in the main analysis, or in an alternative."""
        choices = self.effects.changed(alternative.of_effects) if alternative else self.effects
        units = {
            name: {endpoint.unit: 1.0, **endpoint.convert} for name, endpoint in self.endpoints.items() if endpoint.unit
        }
        return Options(choices.measure, choices.r, choices.change_scores, units, choices.variance,
                       choices.before_after, choices.timepoint, choices.shared_control,
                       choices.zero_cells, choices.on_missing, choices.counts,
                       choices.cluster, choices.rho or 0.0)  # fmt: skip

    @property
    def acknowledgements(self) -> tuple[Acknowledgement, ...]:
        """The doubts about the data that the plan settles."""
        return tuple(Acknowledgement(**item.model_dump()) for item in self.acknowledge)

    @property
    def better(self) -> dict[str, Better]:
        """Direction of benefit by endpoint."""
        return {name: endpoint.better for name, endpoint in self.endpoints.items()}


def read_plan(path: str | Path) -> Plan:
    """Read a plan.

    Parameters
    ----------
    path : str or Path
        A TOML file.

    Returns
    -------
    Plan

    Raises
    ------
    PlanError
        With every fault: the key, the value seen, the choices, the nearest match.

    Examples
    --------
    >>> read_plan("models/crins2014.toml").strata
    {'all': 'All studies'}
    """
    path = Path(path)
    raw = read_bytes(path)
    try:
        content = tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise PlanError(f"{path.name} is not UTF-8 (byte 0x{raw[error.start]:02X}, line {line})") from None
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"{path.name} is not valid TOML: {error}") from None
    for key in ("path", "sha256"):
        if key in content:
            raise PlanError(f"{path.name}: unknown key '{key}'")
    try:
        if "alternatives" in content:
            content["alternatives"] = crossed(content["alternatives"])
        return Plan.model_validate({**content, "path": path, "sha256": hashlib.sha256(raw).hexdigest()})
    except ValidationError as error:
        faults = tuple(dict.fromkeys(explain(item, content, Plan) for item in error.errors()))
        lines = [fault.coded for fault in faults]
        text = "\n  ".join([f"{path.name}:", *lines] if len(lines) > 1 else [f"{path.name}: {lines[0]}"])
        refusal = PlanError(text)
        refusal.faults = faults
        raise refusal from None
    except MetastrataError as error:
        raise PlanError(f"{path.name}: {error}") from None
