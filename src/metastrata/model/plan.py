"""The plan of an analysis: a TOML file read into frozen, checked objects."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metastrata.errors import MetastrataError, PlanError, nearest
from metastrata.evidence.derive import ChangeScores, Options
from metastrata.evidence.effects import Better
from metastrata.model.model import Heterogeneity, Mean, Model, PriorSpec
from metastrata.model.priors import prior


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _prior_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _prior_text(item) for key, item in value.items()}
    return str(prior(value))


Number = Annotated[float, BeforeValidator(_number)]
R = Annotated[float | Literal["independent"] | None, BeforeValidator(_number)]
PriorText = Annotated[str | dict[str, str], BeforeValidator(_prior_text)]


class Published(_Frozen):
    """A published pooled result, to be set beside ours."""

    estimate: Number
    ci: Annotated[tuple[Number, Number], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)]
    ci_level: Number = 95.0
    source: str = ""
    note: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Published:
        if not self.ci[0] < self.estimate < self.ci[1]:
            raise ValueError(f"the estimate {self.estimate} must lie inside its interval {list(self.ci)}")
        return self


class Endpoint(_Frozen):
    """One endpoint: its label, the direction of benefit, its unit, what is already published."""

    label: str
    better: Better
    unit: str = ""
    convert: dict[str, Number] = Field(default_factory=dict)
    mid: Annotated[float, BeforeValidator(_number), Field(gt=0)] | None = None
    mid_source: str = ""
    published: Published | None = None


class EffectChoices(_Frozen):
    """How effect sizes are derived."""

    measure: str = "SMD"
    r: R = None
    r_source: str = ""
    change_scores: ChangeScores = "refuse"


class ModelChoices(_Frozen):
    """The model and its priors."""

    mean: Mean = "exchangeable"
    heterogeneity: Heterogeneity = "independent"
    priors: dict[str, PriorText]


class Alternative(_Frozen):
    """A sensitivity analysis: what differs from the main one."""

    name: str
    why: str = ""
    leave_out: list[str] = Field(default_factory=list)
    r: R = None
    change_scores: ChangeScores | None = None
    mean: Mean | None = None
    heterogeneity: Heterogeneity | None = None
    priors: dict[str, PriorText] = Field(default_factory=dict)


class Plan(_Frozen):
    """The plan of an analysis.

    Read one with `read_plan`. Attributes are the keys of the file; see ``docs/guide.md``.
    """

    title: str
    data: str
    question: str = ""
    notes: list[str] = Field(default_factory=list)
    seed: int = Field(default=1, ge=0)
    effects: EffectChoices = EffectChoices()
    strata: dict[str, str]
    model: ModelChoices
    endpoints: dict[str, Endpoint]
    alternatives: list[Alternative] = Field(default_factory=list)
    overall_in_figure: bool = False
    path: Path = Path()
    sha256: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Plan:
        if not self.endpoints:
            raise ValueError("the plan has no endpoint: add [endpoints.name]")
        if not self.strata:
            raise ValueError("the plan has no stratum: add [strata]")
        self.statistical_model()
        names = [a.name for a in self.alternatives]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two alternatives are called '{name}'")
        for alternative in self.alternatives:
            self.statistical_model(alternative)
        return self

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
        mean = (alternative.mean if alternative else None) or base.mean
        heterogeneity = (alternative.heterogeneity if alternative else None) or base.heterogeneity
        priors: dict[str, PriorSpec] = dict(base.priors)
        if alternative:
            priors |= alternative.priors
        if mean != "exchangeable" and not (alternative and "omega" in alternative.priors) and base.mean != mean:
            priors.pop("omega", None)
        for name, spec in priors.items():
            if isinstance(spec, dict):
                for stratum in spec:
                    if stratum not in self.strata:
                        raise ValueError(f"prior of {name}: unknown stratum '{stratum}'{nearest(stratum, self.strata)}")
        return Model(mean=mean, heterogeneity=heterogeneity, priors=priors)

    def options(self, alternative: Alternative | None = None) -> Options:
        """How effects are derived in the main analysis, or in an alternative."""
        choices = self.effects
        r = alternative.r if alternative and alternative.r is not None else choices.r
        change = (alternative.change_scores if alternative else None) or choices.change_scores
        units = {
            name: {endpoint.unit: 1.0, **endpoint.convert} for name, endpoint in self.endpoints.items() if endpoint.unit
        }
        return Options(choices.measure, r, change, units)

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
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, (p.name for p in path.parent.glob("*.toml"))) if path.parent.is_dir() else ""
        raise PlanError(f"no plan at {path}{near}") from None
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None
    try:
        content = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path.name} is not valid TOML: {error}") from None
    for key in ("path", "sha256"):
        if key in content:
            raise PlanError(f"{path.name}: unknown key '{key}'")
    try:
        return Plan.model_validate({**content, "path": path, "sha256": hashlib.sha256(raw).hexdigest()})
    except ValidationError as error:
        lines = list(dict.fromkeys(_explain(item) for item in error.errors()))
        raise PlanError(
            "\n  ".join([f"{path.name}:", *lines] if len(lines) > 1 else [f"{path.name}: {lines[0]}"])
        ) from None
    except MetastrataError as error:
        raise PlanError(f"{path.name}: {error}") from None


_SECTIONS: dict[str, type[BaseModel]] = {
    "effects": EffectChoices,
    "model": ModelChoices,
    "endpoints": Endpoint,
    "alternatives": Alternative,
    "published": Published,
}


def _explain(error: Any) -> str:
    """One fault of a plan in a plain sentence: where, what was seen, what may stand there."""
    place = [str(part) for part in error["loc"] if not _is_branch(part)]
    where = ".".join(place) or "plan"
    kind, seen = error["type"], error.get("input")
    if kind == "extra_forbidden":
        section = next((_SECTIONS[part] for part in reversed(place[:-1]) if part in _SECTIONS), Plan)
        fields = [name for name in section.model_fields if name not in ("path", "sha256")]
        return f"unknown key '{where}'{nearest(place[-1], fields)} (keys: {', '.join(fields)})"
    if kind == "missing":
        return f"'{where}' is missing{_choices_of(place[-1])}"
    if kind == "literal_error":
        choices = [c.strip(" '") for c in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where} = {seen!r}: choose from {', '.join(choices)}{nearest(str(seen), choices)}"
    if kind == "value_error":
        cause = error["ctx"]["error"]
        return f"{where}: {cause}" if place else str(cause)
    return f"{where} = {seen!r}: {error['msg'].lower()}"


def _choices_of(key: str) -> str:
    return f": choose from {', '.join(get_args(Better))}" if key == "better" else ""


def _is_branch(part: Any) -> bool:
    """Pydantic names the branches of a union in a fault's place; a reader has no use for them."""
    text = str(part)
    return any(mark in text for mark in ("function-", "literal[", "tuple[", "float", "nullable", "constrained"))
