"""Posteriors as curves: against the prior, as the probability of any effect, and mean against heterogeneity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError
from metastrata.inference.densities import log_density
from metastrata.inference.fit import Fit
from metastrata.model.priors import Prior
from metastrata.plots.panels import across, drawn_as, framed, legend, name_of, panels
from metastrata.plots.saving import describe
from metastrata.plots.scales import Scale
from metastrata.plots.smoothing import density_at, joint_density
from metastrata.plots.style import FAINT, GUIDE, INK, colour, style
from metastrata.plots.wording import equals, p_benefit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
POINTS = 161
LEVELS = (0.5, 0.95)


def posterior_density(fit: Fit, quantity: str, label: str, x: Floats) -> Floats:
    """Posterior density of one scalar at `x`: from the integrals, or a kernel estimate of the draws.

    The draws of a standard deviation are reflected at zero, so that the estimate does not fall there by itself.
    """
    marginal: Any = fit.marginal(quantity, label)
    if hasattr(marginal, "pdf"):
        return np.asarray(marginal.pdf(x))
    return density_at(np.asarray(marginal.draws), x, positive=quantity in ("tau", "omega"))


def _priors(fit: Fit) -> list[tuple[str, str, Prior]]:
    """The quantities that have a prior of their own: name, label, prior."""
    design = fit.design
    found: list[tuple[str, str, Prior]] = []
    if design.mean == "independent":
        found += [("mu_stratum", stratum, design.mu) for stratum in design.strata]
    else:
        found.append(("mu", "", design.mu))
    if len(design.tau) == 1:
        found.append(("tau", design.strata[0], design.tau[0]))
    else:
        found += [("tau", stratum, prior) for stratum, prior in zip(design.strata, design.tau, strict=True)]
    return [*found, ("omega", "", design.omega)] if design.omega is not None else found


def prior_posterior_table(fit: Fit) -> pd.DataFrame:
    """Prior and posterior densities of mu, tau and omega.

    Returns
    -------
    DataFrame
        Columns ``quantity stratum x prior posterior``.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2])
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> table = ms.plots.prior_posterior_table(ms.fit(model, effects, engine="exact", draws=100))
    >>> list(table["quantity"].unique())
    ['mu', 'tau']
    """
    import pandas as pd

    tables = []
    for quantity, stratum, prior in _priors(fit):
        marginal = fit.marginal(quantity, stratum)
        low, high = (float(v) for v in marginal.quantile([0.0005, 0.9995]))
        before = [float(v) for v in prior.ppf([0.025, 0.975])]
        # Far enough for the prior to be seen, near enough for the posterior to have a shape.
        span = high - low
        low, high = max(min(low, before[0]), low - 1.5 * span), min(max(high, before[1]), high + 1.5 * span)
        if prior.support == "positive":
            low = 0.0
        x = np.linspace(low, high, POINTS)
        inside = np.maximum(x, 1e-9 * (high - low)) if prior.support == "positive" else x
        shown = fit.design.strata[0] != stratum or len(fit.design.tau) > 1
        tables.append(
            pd.DataFrame(
                {
                    "quantity": quantity,
                    "stratum": stratum if shown else "",
                    "x": x,
                    "prior": np.exp(log_density(prior, inside)),
                    "posterior": posterior_density(fit, quantity, stratum, inside),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def plot_prior_posterior(fit: Fit, *, labels: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Draw `prior_posterior_table`: where the two lie on each other, the data said nothing."""
    table = prior_posterior_table(fit)
    groups = list(table.groupby(["quantity", "stratum"], sort=False))
    heading = title or f"{fit.endpoint}: prior and posterior"
    with style([heading, *(labels or {}).values(), *fit.design.strata]):
        note = "Dashed: prior. Filled: posterior. Where they lie on each other, the data say nothing of the quantity."
        figure, found = panels(heading, note, len(groups), width=2.4 * across(len(groups)) + 0.4, height=2.9)
        for axes, ((quantity, stratum), rows) in zip(found, groups, strict=True):
            axes.fill_between(rows["x"], 0, rows["posterior"], color=colour(0), alpha=0.3, linewidth=0)
            axes.plot(rows["x"], rows["posterior"], color=colour(0), linewidth=1.4)
            axes.plot(rows["x"], rows["prior"], color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
            tallest = float(np.nanmax(rows["posterior"]))
            tallest = max(tallest, min(float(np.nanmax(rows["prior"])), 2 * tallest))
            axes.set(ylim=(0, 1.1 * tallest), yticks=[], xlim=(rows["x"].min(), rows["x"].max()))
            axes.spines["left"].set_visible(False)
            logs = Scale(fit.effects.measure, natural=False).unit
            unit = f" ({logs})" if quantity.startswith("mu") and Scale(fit.effects.measure).back != "identity" else ""
            axes.set_xlabel(quantity + (f", {name_of(stratum, labels)}" if stratum else "") + unit)
            axes.locator_params(axis="x", nbins=4)
    words = []
    for quantity, stratum, prior in _priors(fit):
        a, b = (float(v) for v in fit.marginal(quantity, stratum).quantile([0.025, 0.975]))
        p, q = (float(v) for v in prior.ppf([0.025, 0.975]))
        words.append(f"{quantity} {stratum}".strip() + f": prior {p:.2g} to {q:.2g}, posterior {a:.2g} to {b:.2g}")
    return describe(figure, heading, f"Prior and posterior densities (95 % ranges): {'; '.join(words)}.")


def exceedance_table(fit: Fit, c: Sequence[float] | None = None) -> pd.DataFrame:
    """The probability of an effect below c, for every c: of each stratum's mean, and of a new study.

    Parameters
    ----------
    fit : Fit
    c : sequence of float, optional
        Values; by default over the posteriors.

    Returns
    -------
    DataFrame
        Columns ``quantity stratum c p_below``; quantity "mu_stratum" or "theta_new".
    """
    import pandas as pd

    wanted = [(q, s) for s in fit.design.strata for q in ("mu_stratum", "theta_new")]
    if c is None:
        ends = [fit.marginal(q, s).quantile([0.002, 0.998]) for q, s in wanted if q == "mu_stratum"]
        zero = [] if (null := Scale(fit.effects.measure).null) is None else [null]
        points = np.linspace(
            min([*zero, *(float(e[0]) for e in ends)]), max([*zero, *(float(e[1]) for e in ends)]), POINTS
        )
    else:
        points = np.asarray(c, float)
        if not np.isfinite(points).all():
            raise InputError("c must be finite numbers")
    parts = [
        pd.DataFrame({"quantity": q, "stratum": s, "c": points, "p_below": fit.marginal(q, s).cdf(points)})
        for q, s in wanted
    ]
    return pd.concat(parts, ignore_index=True)


def plot_exceedance(
    fit: Fit, *, mid: float | None = None, labels: Mapping[str, str] | None = None, title: str = "", unit: str = ""
) -> Figure:
    """Draw `exceedance_table`: read off the probability of an effect beyond any threshold.

    Parameters
    ----------
    fit : Fit
    mid : float, optional
        Minimal important difference, > 0, marked on the side of benefit.
    labels, title, unit
        Names of the strata, heading, and what the axis measures.
    """
    if mid is not None and not mid > 0:
        raise InputError(f"mid is the size of a minimal important difference, > 0 (got {mid})")
    scale = Scale(fit.effects.measure)
    unit = unit or scale.unit
    table, higher = exceedance_table(fit), fit.effects.direction == "higher"
    heading = title or f"{fit.endpoint}: probability of an effect {'above' if higher else 'below'} any threshold"
    strata = fit.design.strata
    with style([heading, *(labels or {}).values(), *strata]):
        note = "Thick: the mean of the design. Thin: the effect in a new study of it." + (
            f" Dashed: minimal important difference ({mid:g})." if mid is not None else ""
        )
        figure, axes = framed(heading, note)
        for i, stratum in enumerate(strata):
            for quantity, width, alpha in (("mu_stratum", 1.8, 1.0), ("theta_new", 0.9, 0.8)):
                rows = table[(table["stratum"] == stratum) & (table["quantity"] == quantity)]
                p = 1 - rows["p_below"] if higher else rows["p_below"]
                label = name_of(stratum, labels) if quantity == "mu_stratum" else None
                axes.plot(rows["c"], p, label=label, **{**drawn_as(i, len(strata)), "linewidth": width, "alpha": alpha})
        scale.line(axes, color=INK, linewidth=0.8)
        if mid is not None and fit.effects.direction is not None:
            axes.axvline(mid if higher else -mid, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.grid(color=GUIDE, linewidth=0.4)
        axes.set(ylim=(0, 1.01), xlim=(table["c"].min(), table["c"].max()))
        scale.label(axes)
        axes.set(xlabel=f"Threshold c ({unit})", ylabel=f"P(effect {'>' if higher else '<'} c)")
        legend(axes, len(strata), loc="lower left" if higher else "upper left")
    words = "; ".join(
        f"{name_of(s, labels)}: {equals('P(benefit)', p_benefit(fit, 'mu_stratum', s))}"
        + (f", {equals('beyond the MID', p_benefit(fit, 'mu_stratum', s, mid))}" if mid is not None else "")
        for s in strata
    )
    return describe(figure, heading, f"Curves of the probability against the threshold. {words}.")


def joint_table(fit: Fit, points: int = 60) -> pd.DataFrame:
    """The joint posterior of each stratum's mean and tau on a grid.

    Parameters
    ----------
    fit : Fit
    points : int
        Grid points in each direction.

    Returns
    -------
    DataFrame
        Columns ``stratum mu tau density content``: `content` is the probability of the region of higher density, so
        that the line at 0.95 encloses 95 %.

    Notes
    -----
    A kernel estimate of the draws, reflected at tau = 0 (see `joint_density`).
    """
    import pandas as pd

    parts = []
    for s, stratum in enumerate(fit.design.strata):
        mu, tau = (np.ravel(fit.posterior[name].values[..., s]) for name in ("mu_stratum", "tau"))
        low, high = (float(v) for v in np.quantile(mu, [0.001, 0.999]))
        x, t = np.linspace(low, high, points), np.linspace(0, float(np.quantile(tau, 0.998)), points)
        grid_mu, grid_tau = np.meshgrid(x, t)
        density = joint_density(mu, tau, x, t).ravel()
        order = np.argsort(-density)
        content = np.empty_like(density)
        content[order] = np.cumsum(density[order]) / density.sum()
        parts.append(
            pd.DataFrame(
                {"stratum": stratum, "mu": grid_mu.ravel(), "tau": grid_tau.ravel(), "density": density,
                 "content": content}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def plot_joint(fit: Fit, *, labels: Mapping[str, str] | None = None, title: str = "", unit: str = "") -> Figure:
    """Draw `joint_table`: regions of 50 % and 95 % for each stratum's mean and its tau."""
    table, strata, scale = joint_table(fit), fit.design.strata, Scale(fit.effects.measure)
    unit = unit or scale.unit
    heading = title or f"{fit.endpoint}: mean and heterogeneity together"
    with style([heading, *(labels or {}).values(), *strata]):
        note = "Regions of highest posterior density: 50 % (dark) and 95 % (pale). Cross: posterior medians."
        figure, found = panels(heading, note, len(strata), width=max(3.0 * across(len(strata)) + 0.3, 4.5), height=3.4)
        limits = (table["mu"].min(), table["mu"].max()), (0.0, table["tau"].max())
        for i, (axes, stratum) in enumerate(zip(found, strata, strict=True)):
            rows = table[table["stratum"] == stratum]
            side = int(np.sqrt(len(rows)))
            x, t, content = (rows[name].to_numpy().reshape(side, side) for name in ("mu", "tau", "content"))
            tint = colour(i)
            axes.contourf(x, t, content, levels=[0, 0.5, 0.95], colors=[f"{tint}aa", f"{tint}44"])
            axes.contour(x, t, content, levels=list(LEVELS), colors=[tint], linewidths=0.9)
            centre = [float(fit.marginal(q, stratum).quantile(0.5)) for q in ("mu_stratum", "tau")]
            axes.plot(*centre, "x", color=INK, markersize=6)
            scale.line(axes, color=INK, linewidth=0.8)
            axes.set(xlim=limits[0], ylim=limits[1], xlabel=f"Mean ({unit})", ylabel="tau")
            scale.label(axes)
            axes.set_title(name_of(stratum, labels))
    words = "; ".join(
        f"{name_of(s, labels)}: median mean {scale.number(float(fit.marginal('mu_stratum', s).quantile(0.5)))}, "
        f"median tau {float(fit.marginal('tau', s).quantile(0.5)):.2f}"
        for s in strata
    )
    return describe(figure, heading, f"Joint posterior regions of mean and tau. {words}.")
