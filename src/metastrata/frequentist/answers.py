"""The frequentist answer to Effects: pooled, as a program pools them, by stratum, or explained by moderators."""

from __future__ import annotations

from dataclasses import replace
from typing import overload

from metastrata.errors import InputError
from metastrata.evidence.effects import Effects, rederive
from metastrata.frequentist.checks import require_independent
from metastrata.frequentist.pooling import Classical, pool
from metastrata.frequentist.regression import Regression, meta_regression
from metastrata.frequentist.subgroups import Subgroups, pool_subgroups
from metastrata.model.answers import preset_named


@overload
def classical(
    effects: Effects,
    method: str = ...,
    interval: str = ...,
    *,
    level: float = ...,
    prediction: str = ...,
    preset: str | None = ...,
    moderators: None = ...,
) -> Classical: ...


@overload
def classical(
    effects: Effects, method: str = ..., interval: str = ..., *, level: float = ..., moderators: str
) -> Regression: ...


def classical(
    effects: Effects,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    preset: str | None = None,
    moderators: str | None = None,
) -> Classical | Regression:
    """Pool the effects on one endpoint by a classical method, or explain them by moderators.

    Parameters
    ----------
    effects : Effects
        Of one endpoint; strata are pooled together.
    method, interval, level, prediction
        As for `pool`.
    preset : {"RevMan 5", "RevMan 5 fixed", "RevMan Web"}, optional
        What a program computes: its method and interval, and SMDs of two groups by its formula.
    moderators : str, optional
        Right side of a formula, such as ``"~ C(design) + year"``, in the columns of the study table (and ``stratum``);
        see `design_matrix`.

    Returns
    -------
    Classical
        Or, with moderators, a Regression: coefficients, QM, QE, R2.

    Raises
    ------
    InputError
        If there are no effects, or several endpoints; a word is unknown; or a moderator does not exist, is missing for
        a study, is the same in all, or is already said by the others.

    Examples
    --------
    >>> import metastrata as ms
    >>> result = ms.classical(ms.Effects.from_estimates(y=[0.1, 0.5, 0.4], se=[0.1, 0.2, 0.2]), "DL", "Wald")
    >>> round(result.estimate, 3)
    0.286
    >>> bcg = ms.effect_sizes(ms.read_studies("data/bcg.csv"), measure="RR")
    >>> regression = ms.classical(bcg, moderators="~ ablat")
    >>> [round(float(b), 4) for b in regression.coefficients], round(regression.r2, 1)
    ([0.2515, -0.0291], 75.6)
    """
    one_endpoint(effects)
    require_independent(effects)
    if moderators is not None:
        if preset is not None:
            raise InputError("preset and moderators cannot be had together: RevMan has no meta-regression")
        return _regression(effects, method, interval, level, moderators)
    if preset is not None:
        return classical_as(preset, effects, level=level)
    return pool(effects.y, effects.se**2, method, interval, level=level, prediction=prediction, studies=effects.studies)


def one_endpoint(effects: Effects) -> None:
    """Refuse several endpoints, and what is no Effects.

    Raises
    ------
    InputError
        With their names.
    """
    if not isinstance(effects, Effects):
        raise InputError(
            f"effects is {type(effects).__name__}: give Effects, as effect_sizes or Effects.from_estimates make them"
        )
    if len(effects.endpoints) > 1:
        raise InputError(
            f"{len(effects.endpoints)} endpoints cannot be pooled into one effect: choose one with "
            f"effects.endpoint(name): {', '.join(effects.endpoints)}"
        )


def as_entered(effects: Effects) -> Effects:
    """The effects as RevMan computes them: SMDs of two groups by its own formula, all others as they are."""
    if effects.measure != "SMD":
        return effects
    return rederive(effects, variance="RevMan") or effects


def classical_as(preset: str, effects: Effects, *, level: float = 95.0) -> Classical:
    """Pool the effects on one endpoint as a program does.

    Parameters
    ----------
    preset : {"RevMan 5", "RevMan 5 fixed", "RevMan Web"}
    effects : Effects
        Of one endpoint. SMDs are derived again by RevMan's formula where the study table is known.
    level : float
        In per cent.

    Returns
    -------
    Classical
        `note` names the program.

    Raises
    ------
    InputError
        If the preset is unknown, there are no effects, or several endpoints.
    """
    one_endpoint(effects)
    require_independent(effects)
    chosen, entered = preset_named(preset), as_entered(effects)
    found = pool(
        entered.y, entered.se**2, chosen.method, chosen.interval,
        level=level, prediction=chosen.prediction, studies=entered.studies,
    )  # fmt: skip
    own = "SMDs by RevMan's formula" if entered is not effects else "effects as given"
    return replace(found, note="; ".join(text for text in (f"as {chosen.name}: {own}", found.note) if text))


def classical_by_stratum(
    effects: Effects,
    method: str = "REML",
    interval: str = "HKSJ",
    *,
    level: float = 95.0,
    prediction: str = "default",
    tau2: str = "separate",
) -> Subgroups:
    """Pool the effects on one endpoint within each stratum, and compare the strata.

    Parameters
    ----------
    effects : Effects
        Of one endpoint.
    method, interval, level, prediction, tau2
        As for `pool_subgroups`.

    Returns
    -------
    Subgroups

    Raises
    ------
    InputError
        If there are no effects, or several endpoints, or a word is unknown.

    Examples
    --------
    >>> import metastrata as ms
    >>> efm = ms.effect_sizes(ms.read_studies("data/efm.csv"), measure="GEN")
    >>> [round(d.estimate, 2) for d in classical_by_stratum(efm).differences]
    [1.12, 1.77, 0.65]
    """
    one_endpoint(effects)
    require_independent(effects)
    strata = [item.stratum for item in effects.items]
    return pool_subgroups(
        effects.y, effects.se**2, strata, method, interval,
        level=level, prediction=prediction, tau2=tau2, studies=effects.studies,
    )  # fmt: skip


def _regression(effects: Effects, method: str, interval: str, level: float, moderators: str) -> Regression:
    from metastrata.model.formula import design_matrix, moderator_frame

    x, names = design_matrix(moderators, moderator_frame(effects))
    if len(names) >= len(effects):
        raise InputError(
            f"moderators {moderators!r}: {len(names)} coefficients for {len(effects)} studies leave nothing to "
            f"estimate the heterogeneity from; at most {len(effects) - 1} coefficients, the intercept among them",
            "F56",
        )
    return meta_regression(effects.y, effects.se**2, x, method, interval, level=level, names=names)
