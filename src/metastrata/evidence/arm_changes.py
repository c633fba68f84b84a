"""What each arm changed from before to after: of trials both arms, of before/after studies the only one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from metastrata.errors import InputError, TableError, unknown
from metastrata.evidence.changes_derived import changes_of
from metastrata.evidence.effect import Better, check_direction
from metastrata.evidence.effect_set import Effects
from metastrata.evidence.measures import MEASURES, STANDARDISED
from metastrata.evidence.recipes import Options
from metastrata.evidence.study_changes import KINDS as KINDS
from metastrata.evidence.study_changes import Estimate as Estimate
from metastrata.evidence.study_changes import Kind as Kind
from metastrata.evidence.study_changes import StudyChanges as StudyChanges

if TYPE_CHECKING:
    import pandas as pd


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
        found = changes_of(item, options)
        if isinstance(found, StudyChanges):
            items.append(found)
        else:
            faults += found
    if faults:
        raise TableError(effects.source.studies.source if effects.source is not None else "table", faults)
    return ArmChanges(tuple(items), effects.endpoints[0], effects.direction, MEASURES[effects.measure].scale)
