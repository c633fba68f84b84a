"""The plan of an analysis: a TOML file read into frozen, checked objects."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metastrata.errors import MetastrataError, PlanError, nearest, unknown
from metastrata.evidence.effects import Better
from metastrata.evidence.measures import MEASURES
from metastrata.evidence.recipes import INDEPENDENT, BeforeAfter, ChangeScores, Options, SharedControl, ZeroCells
from metastrata.evidence.screening import Acknowledgement
from metastrata.evidence.tables import TableChoices
from metastrata.model.model import Heterogeneity, Mean, Model, PriorSpec
from metastrata.model.priors import prior


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _r(value: Any) -> Any:
    """A pre-post correlation, or "independent"."""
    value = _number(value)
    if value is None or value == INDEPENDENT or (isinstance(value, float) and -1 < value < 1):
        return value
    raise ValueError(f"neither a correlation between -1 and 1 nor '{INDEPENDENT}'")


def _measure(value: str) -> str:
    if value not in MEASURES:
        raise ValueError(f"choose from {', '.join(MEASURES)}{nearest(value, MEASURES)}")
    return value


def _timepoint(value: Any) -> Any:
    """A rule for studies with several time points."""
    value = _number(value)
    if value in ("refuse", "first", "last") or (isinstance(value, float) and value >= 0):
        return value
    raise ValueError("choose from refuse, first, last, or a number of months")


def _pair(value: Any) -> Any:
    """Two numbers written as a list."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("two numbers are wanted: [lower, upper]")
    return tuple(value)


def _prior_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _prior_text(item) for key, item in value.items()}
    return str(prior(value))


Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0)]
R = Annotated[float | Literal["independent"] | None, BeforeValidator(_r)]
Timepoint = Annotated[Literal["refuse", "first", "last"] | float, BeforeValidator(_timepoint)]
PriorText = Annotated[str | dict[str, str], BeforeValidator(_prior_text)]


class Published(_Frozen):
    """A published pooled result, to be set beside ours."""

    estimate: Number
    ci: Annotated[tuple[Number, Number], BeforeValidator(_pair)]
    ci_level: Annotated[float, BeforeValidator(_number), Field(ge=50, lt=100)] = 95.0
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
    convert: dict[str, Positive] = Field(default_factory=dict)
    mid: Positive | None = None
    mid_source: str = ""
    published: Published | None = None

    @model_validator(mode="after")
    def _has_a_unit_to_convert_to(self) -> Endpoint:
        if self.convert and not self.unit:
            raise ValueError('convert: say the unit that the others are converted to, unit = "..."')
        return self


class EffectChoices(_Frozen):
    """How effect sizes are derived."""

    measure: Annotated[str, AfterValidator(_measure)] = "SMD"
    r: R = None
    r_source: str = ""
    change_scores: ChangeScores = "refuse"
    variance: str = "LS"
    before_after: BeforeAfter = "SMCR"
    timepoint: Timepoint = "refuse"
    shared_control: SharedControl = "refuse"
    zero_cells: ZeroCells = "only0"

    @model_validator(mode="after")
    def _has_this_variance(self) -> EffectChoices:
        allowed = MEASURES[self.measure].variances
        if self.variance not in allowed:
            raise ValueError(f"variance = '{self.variance}': {self.measure} has {', '.join(allowed)}")
        return self


class Acknowledge(_Frozen):
    """A doubt about the data that is settled: which, and why the row is right."""

    code: str
    reason: Annotated[str, Field(min_length=1)]
    study: str = ""
    endpoint: str = ""


class TableSection(_Frozen):
    """How the study table is read: separator, decimal mark, encoding, sheet, codes for missing values."""

    sep: str | None = None
    decimal: str = "."
    encoding: str = "utf-8"
    sheet: str | None = None
    missing: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _readable(self) -> TableSection:
        self.choices()
        return self

    def choices(self, measure: str | None = None, outcomes: tuple[str, ...] | None = None) -> TableChoices:
        """The same for the reader."""
        return TableChoices(self.sep, self.decimal, self.encoding, self.sheet, tuple(self.missing), measure, outcomes)


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
    table_format: TableSection = Field(default=TableSection(), alias="table")
    effects: EffectChoices = EffectChoices()
    strata: dict[str, str]
    model: ModelChoices
    endpoints: dict[str, Endpoint]
    alternatives: list[Alternative] = Field(default_factory=list)
    acknowledge: list[Acknowledge] = Field(default_factory=list)
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
            try:
                self.statistical_model(alternative)
            except ValueError as error:
                raise ValueError(f"alternative '{alternative.name}': {error}") from None
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
        model = Model(mean=mean, heterogeneity=heterogeneity, priors=priors)
        for name, spec in priors.items():
            if isinstance(spec, dict):
                for stratum in spec:
                    if stratum not in self.strata:
                        raise ValueError(f"prior of {name}: {unknown('stratum', stratum, self.strata)}")
                missing = [repr(stratum) for stratum in self.strata if stratum not in spec]
                if missing:
                    raise ValueError(f"prior of {name}: none for the stratum {', '.join(missing)}")
        return model

    def options(self, alternative: Alternative | None = None) -> Options:
        """How effects are derived in the main analysis, or in an alternative."""
        choices = self.effects
        r = alternative.r if alternative and alternative.r is not None else choices.r
        change = (alternative.change_scores if alternative else None) or choices.change_scores
        units = {
            name: {endpoint.unit: 1.0, **endpoint.convert} for name, endpoint in self.endpoints.items() if endpoint.unit
        }
        return Options(choices.measure, r, change, units, choices.variance, choices.before_after, choices.timepoint,
                       choices.shared_control, choices.zero_cells)  # fmt: skip

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
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        near = nearest(path.name, (p.name for p in path.parent.glob("*.toml"))) if path.parent.is_dir() else ""
        raise PlanError(f"no plan at {path}{near}") from None
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None
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
        return Plan.model_validate({**content, "path": path, "sha256": hashlib.sha256(raw).hexdigest()})
    except ValidationError as error:
        lines = list(dict.fromkeys(_explain(item, content) for item in error.errors()))
        raise PlanError(
            "\n  ".join([f"{path.name}:", *lines] if len(lines) > 1 else [f"{path.name}: {lines[0]}"])
        ) from None
    except MetastrataError as error:
        raise PlanError(f"{path.name}: {error}") from None


_SECTIONS: dict[str, type[BaseModel]] = {
    "table": TableSection,
    "effects": EffectChoices,
    "model": ModelChoices,
    "endpoints": Endpoint,
    "alternatives": Alternative,
    "acknowledge": Acknowledge,
    "published": Published,
}


_WANTED = {
    "list_type": "a list [...] is wanted",
    "dict_type": "a table {...} is wanted",
    "model_type": "a table [...] is wanted",
    "string_type": "a text is wanted",
    "float_type": "a number is wanted",
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "bool_type": "true or false is wanted",
}


def _explain(error: Any, content: dict[str, Any]) -> str:
    """One fault of a plan in a plain sentence: where, what was seen, what may stand there."""
    place = _place(error["loc"], content)
    where = ".".join(place) or "plan"
    kind, seen = error["type"], error.get("input")
    if kind == "extra_forbidden":
        section = next((_SECTIONS[part] for part in reversed(place[:-1]) if part in _SECTIONS), Plan)
        section = Alternative if place[0].startswith("alternative '") else section
        fields = [f.alias or name for name, f in section.model_fields.items() if name not in ("path", "sha256")]
        return f"unknown key '{where}'{nearest(place[-1], fields)} (keys: {', '.join(fields)})"
    if kind == "missing":
        return f"'{where}' is missing{_choices_of(place[-1])}"
    if kind == "literal_error":
        choices = [c.strip(" '") for c in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
        return f"{where} = {seen!r}: choose from {', '.join(choices)}{nearest(str(seen), choices)}"
    if kind == "value_error":
        cause = error["ctx"]["error"]
        said = isinstance(seen, (dict, BaseModel)) or isinstance(cause, MetastrataError)
        return str(cause) if not place else f"{where}: {cause}" if said else f"{where} = {_toml(seen)}: {cause}"
    return f"{where} = {_toml(seen)}: {_WANTED.get(kind, error['msg'].lower().replace('input should be', 'must be'))}"


def _toml(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else repr(value)


def _place(location: tuple[Any, ...], content: dict[str, Any]) -> list[str]:
    """The keys that lead to a fault; an alternative goes by its name."""
    place = [str(part) for part in location if not _is_branch(part)]
    if len(place) > 1 and place[0] == "alternatives" and place[1].isdigit():
        entry = content["alternatives"][int(place[1])]
        name = entry.get("name", int(place[1]) + 1) if isinstance(entry, dict) else int(place[1]) + 1
        place[:2] = [f"alternative '{name}'"]
    return place


def _choices_of(key: str) -> str:
    return f": choose from {', '.join(get_args(Better))}" if key == "better" else ""


def _is_branch(part: Any) -> bool:
    """Pydantic names the branches of a union in a fault's place; a reader has no use for them."""
    text = str(part)
    return any(mark in text for mark in ("function-", "literal[", "tuple[", "float", "nullable", "constrained"))
