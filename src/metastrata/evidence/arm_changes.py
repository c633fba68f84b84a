"""What each arm changed from before to after: of trials both arms, of before/after studies the only one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import Fault, InputError, TableError, unknown
from metastrata.evidence.arms import Entry
from metastrata.evidence.columns import Cell
from metastrata.evidence.complete import complete
from metastrata.evidence.compute import compute
from metastrata.evidence.derive import recipe
from metastrata.evidence.effect import Better, Effect, check_direction
from metastrata.evidence.effect_set import Effects
from metastrata.evidence.measures import MEASURES, STANDARDISED
from metastrata.evidence.recipes import FORMULAS, Options, Recipe
from metastrata.evidence.studies import Row

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["trial", "contrast", "before_after"]
KINDS: dict[Kind, str] = {
    "trial": "both arms before and after",
    "contrast": "difference of arms only",
    "before_after": "one treated group before and after",
}
SINGLE = frozenset(("self_controlled", "before_after", "pre_post", "single_arm", "case_series"))
_BASELINES = ("mean_before_treated", "mean_before_control")
_ARM = {
    "n": "n_{arm}", "mean_before": "mean_before_{arm}", "sd_before": "sd_before_{arm}",
    "mean_after": "mean_{arm}", "sd_after": "sd_{arm}",
}  # fmt: skip
_ARM_CHANGE = {"n": "n_{arm}", "sd_before": "sd_before_{arm}", "mean_change": "mean_{arm}", "sd_change": "sd_{arm}"}
_OF_ARMS = frozenset(place.format(arm=arm) for arm in ("treated", "control") for place in
                     (*_ARM.values(), *_ARM_CHANGE.values(), "r_{arm}"))  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """An estimate and its standard error."""

    y: float
    se: float


@dataclass(frozen=True)
class StudyChanges:
    """What one study says of treated and untreated patients.

    Attributes
    ----------
    study, stratum : str
    kind : {"trial", "contrast", "before_after"}
    treated, control : Estimate or None
        Change from before to after in each arm, in SDs before; `control` only of a trial.
    effect : Estimate or None
        Difference of the arms, where that is all a trial gives.
    held : Estimate or None
        A control arm that is known but kept from the model (see `ArmChanges.withholding`).
    text : str
        How they were derived.
    """

    study: str
    stratum: str
    kind: Kind
    treated: Estimate | None = None
    control: Estimate | None = None
    effect: Estimate | None = None
    held: Estimate | None = None
    text: str = "as given"

    @property
    def contrast(self) -> Estimate | None:
        """The study's own controlled effect: the difference of its arms' changes, or as printed; None if it has none.

        A control arm that is withheld counts here.
        """
        control = self.control or self.held
        if self.treated is None or control is None:
            return self.effect
        return Estimate(self.treated.y - control.y, math.hypot(self.treated.se, control.se))


@dataclass(frozen=True)
class ArmChanges:
    """The changes of the arms of a set of studies, on one endpoint.

    Attributes
    ----------
    items : tuple of StudyChanges
    endpoint : str
    better : {"lower", "higher"} or None
    scale : str
        What changes are in.
    """

    items: tuple[StudyChanges, ...]
    endpoint: str = "effect"
    better: Better | None = None
    scale: str = "as given"

    def __len__(self) -> int:
        return len(self.items)

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies."""
        return tuple(item.study for item in self.items)

    def of(self, kind: Kind) -> tuple[StudyChanges, ...]:
        """The studies of one kind."""
        return tuple(item for item in self.items if item.kind == kind)

    def withholding(self, studies: Iterable[str]) -> ArmChanges:
        """The same with the control arms of some trials kept aside, so that these become before/after studies.

        Raises
        ------
        InputError
            If a study is not there, or has no control arm before and after.
        """
        names = tuple(studies)
        known = {item.study: item for item in self.items}
        for name in names:
            if name not in known:
                raise InputError(f"withhold: {unknown('study', name, known)}")
            if known[name].control is None:
                raise InputError(f"withhold: {name} gives no control arm before and after ({KINDS[known[name].kind]})")
        items = [
            replace(i, kind="before_after", control=None, held=i.control) if i.study in names else i for i in self.items
        ]
        return replace(self, items=tuple(items))

    def to_frame(self) -> pd.DataFrame:
        """One row per study: kind, change and standard error of each arm, the effect, and the derivation."""
        import pandas as pd

        nothing = Estimate(math.nan, math.nan)
        rows = []
        for item in self.items:
            cells: list[str | float] = [item.study, item.stratum, item.kind]
            for part in (item.treated, item.control, item.effect):
                cells += [(part or nothing).y, (part or nothing).se]
            rows.append([*cells, item.text])
        names = ["treated", "treated_se", "control", "control_se", "effect", "effect_se"]
        return pd.DataFrame(rows, columns=["study", "stratum", "kind", *names, "derivation"])

    @classmethod
    def from_estimates(
        cls,
        study: Sequence[str],
        *,
        treated: ArrayLike,
        treated_se: ArrayLike,
        control: ArrayLike | None = None,
        control_se: ArrayLike | None = None,
        effect: ArrayLike | None = None,
        effect_se: ArrayLike | None = None,
        better: Better | None = None,
    ) -> ArmChanges:
        """Arm changes from plain arrays, NaN where a study does not give one.

        Parameters
        ----------
        study : sequence of str
        treated, treated_se, control, control_se : array_like, shape (study,)
            Change of each arm and its standard error. A study with both is a trial, with `treated` alone a before/after
            study.
        effect, effect_se : array_like, shape (study,)
            Difference of the arms, of trials that give nothing else.
        better : {"lower", "higher"}, optional

        Raises
        ------
        InputError
            If a study gives nothing, a control arm without a treated one, an effect beside arms, or no standard error.

        Examples
        --------
        >>> nan = float("nan")
        >>> changes = ArmChanges.from_estimates(
        ...     ["A", "B"], treated=[0.9, 1.1], treated_se=[0.2, 0.3], control=[0.3, nan], control_se=[0.2, nan]
        ... )
        >>> [item.kind for item in changes.items]
        ['trial', 'before_after']
        """
        if better is not None:
            check_direction(better)
        names = [str(name) for name in study]
        columns = [_column(values, len(names)) for values in
                   (treated, treated_se, control, control_se, effect, effect_se)]  # fmt: skip
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise InputError(f"{', '.join(twice)}: the name stands twice")
        items = []
        for i, name in enumerate(names):
            parts = [_estimate(name, what, columns[j][i], columns[j + 1][i])
                     for j, what in ((0, "treated"), (2, "control"), (4, "effect"))]  # fmt: skip
            items.append(_item(name, *parts))
        return cls(tuple(items), better=better)


def _column(values: ArrayLike | None, size: int) -> list[float]:
    try:
        found = np.full(size, np.nan) if values is None else np.asarray(values, float)
    except (TypeError, ValueError):
        raise InputError("changes and standard errors must be numbers, NaN where there is none") from None
    if found.shape != (size,):
        raise InputError(f"lengths differ: {size} studies, but an array of the shape {found.shape}")
    return [float(value) for value in found]


def _estimate(study: str, what: str, y: float, se: float) -> Estimate | None:
    if math.isnan(y) and math.isnan(se):
        return None
    if not (math.isfinite(y) and math.isfinite(se) and se > 0):
        raise InputError(f"{study}, {what}: y = {y:g}, se = {se:g}; both must be finite, and se > 0 (NaN for both "
                         "where the study gives none)")  # fmt: skip
    return Estimate(y, se)


def _item(study: str, treated: Estimate | None, control: Estimate | None, effect: Estimate | None) -> StudyChanges:
    if treated is not None and effect is not None:
        raise InputError(f"{study} gives its arms and their difference: the same patients would count twice. Leave the "
                         "effect out")  # fmt: skip
    if treated is None and control is not None:
        raise InputError(f"{study} has a control arm without a treated arm: it has no effect of treatment")
    if treated is not None:
        return StudyChanges(study, "", "trial" if control else "before_after", treated, control)
    if effect is None:
        raise InputError(f"{study} gives neither a treated arm nor an effect")
    return StudyChanges(study, "", "contrast", effect=effect)


def arm_changes(effects: Effects) -> ArmChanges:
    """The changes of the arms behind effects: of each trial that gives them, and of before/after studies.

    A trial gives them with ``mean_before_treated sd_before_treated mean_before_control sd_before_control`` beside its
    final means, with each arm in a row of its own (column ``arm``), or with changes (``scores = change``). Changes are
    standardised as before/after studies are, each arm by its own SD before (SMCR; Becker 1988, Br J Math Stat Psychol
    41:257), so that their errors are independent. Trials that give only a difference of arms keep that.

    Parameters
    ----------
    effects : Effects
        Of one endpoint, from a table; a standardised or a mean difference.

    Returns
    -------
    ArmChanges

    Raises
    ------
    InputError
        If the measure has no changes, or there are several endpoints.
    TableError
        With every arm whose change cannot be derived: no r, one arm only, no SD.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.effect_sizes(ms.read_studies("data/morris2008.csv"), measure="SMCRD")
    >>> ms.arm_changes(effects).to_frame()[["treated", "control"]].round(3).values[0].tolist()
    [0.506, -0.236]
    """
    if len(effects.endpoints) != 1:
        raise InputError("changes of arms are those of one endpoint: choose with effects.endpoint(...)"
                         f"{' among ' + ', '.join(effects.endpoints) if effects.endpoints else ''}")  # fmt: skip
    if effects.measure not in STANDARDISED and effects.measure not in ("MD", "GEN"):
        raise InputError(f"{effects.measure} ({MEASURES[effects.measure].name}) has no change from before to after: "
                         "use a standardised mean difference, or MD")  # fmt: skip
    if effects.covariances:
        raise InputError("the effects of " + ", ".join(effects.studies[i] for i in effects.blocks[0][0]) +
                         " are not independent: arms that are shared would count twice. Use one of them")  # fmt: skip
    options = effects.source.options if effects.source is not None else Options(effects.measure)
    items, faults = [], []
    for item in effects.items:
        found = _changes_of(item, options)
        if isinstance(found, StudyChanges):
            items.append(found)
        else:
            faults += found
    if faults:
        raise TableError(effects.source.studies.source if effects.source is not None else "table", faults)
    return ArmChanges(tuple(items), effects.endpoints[0], effects.direction, MEASURES[effects.measure].scale)


def _changes_of(item: Effect, options: Options) -> StudyChanges | list[Fault]:
    """The arms of one study, or why they cannot be had."""
    printed = Estimate(item.y, item.se)
    if _is_single(item):
        return StudyChanges(item.study, item.stratum, "before_after", printed, text=item.derivation)
    row = complete(Row(item.row or 0, item.cells)).row
    columns = _columns(row)
    if columns is None:
        return StudyChanges(item.study, item.stratum, "contrast", effect=printed, text=item.derivation)
    arms: dict[str, Estimate] = {}
    texts, faults = [], []
    for arm in ("treated", "control"):
        found = _change(item, _arm_row(row, arm, columns), arm, options)
        if isinstance(found, list):
            faults += found
        else:
            arms[arm], text = found
            texts.append(f"{arm}: {text}")
    return faults or StudyChanges(item.study, item.stratum, "trial", arms["treated"], arms["control"],
                                  text="; ".join(texts))  # fmt: skip


def _is_single(item: Effect) -> bool:
    """Whether an effect is the change of one group; one that stands in the table as it is goes by its design."""
    if item.metric.estimand == FORMULAS["smcr"].estimand:
        return True
    return item.metric.estimand == "as reported" and item.stratum.casefold() in SINGLE


def _columns(row: Row) -> Mapping[str, str] | None:
    """Where the arms' numbers stand, None if the row does not have them."""
    if row.text("scores") == "change" and None not in (row.value("mean_treated"), row.value("mean_control")):
        return _ARM_CHANGE
    return _ARM if any(row.value(name) is not None for name in _BASELINES) else None


def _arm_row(row: Row, arm: str, columns: Mapping[str, str]) -> Row:
    """An arm as the row of a before/after study."""
    cells: dict[str, Cell] = {name: value for name, value in row.cells.items() if name not in _OF_ARMS and
                              name not in ("scores", "smd", "md", "t", "p_value", "y", "se", "n")}  # fmt: skip
    cells |= {name: row.cells.get(place.format(arm=arm)) for name, place in columns.items()}
    own = row.value(f"r_{arm}")
    return Row(row.number, cells | {"r": row.value("r") if own is None else own})


def _change(item: Effect, row: Row, arm: str, options: Options) -> tuple[Estimate, str] | list[Fault]:
    """The change of one arm and how it was derived."""
    measure = "MD" if options.measure == "MD" else "SMD"
    own = replace(options, measure=measure, variance="LS", r=options.r if isinstance(options.r, float) else None)
    found = recipe(row, own)
    if not isinstance(found, Recipe):
        return [replace(fault, message=f"{arm} arm: {fault.message}", column=None) for fault in found]
    if found.metric == "change":
        message = (f"{arm} arm: its change is known in SDs of the change only; the natural course is in SDs before: "
                   'choose change_scores = "convert" with an r, or give the SD before')  # fmt: skip
        return [replace(row.fault(message), code="F32")]
    items, faults = compute([(Entry(row, item.stratum, item.endpoint), found)], own)
    if faults:
        return [replace(fault, message=f"{arm} arm: {fault.message}") for fault in faults]
    return Estimate(items[0].y, items[0].se), found.text
