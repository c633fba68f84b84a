"""Whether the chains agree: ranks of the draws by chain, and their traces with densities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.errors import InputError
from metastrata.inference.fit import Fit
from metastrata.plots.panels import across, name_of, panels
from metastrata.plots.saving import describe
from metastrata.plots.style import FAINT, INK, STRATA, style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

BINS = 20
SHOWN = 500  # draws of a trace: more make it no clearer, and the file large


def sampled_quantities(fit: Fit, labels: Mapping[str, str] | None = None) -> dict[str, NDArray[np.float64]]:
    """What the chains have to agree on: mu (or the stratum means), tau and omega, each of shape (chain, draw).

    Raises
    ------
    InputError
        If the fit was integrated: there are no chains.
    """
    if fit.engine != "nuts":
        raise InputError("this fit was integrated, not sampled: there are no chains to compare")
    wanted = ["mu"] if "mu" in fit.posterior else []
    wanted += ["mu_stratum"] if fit.design.mean == "independent" else []
    found: dict[str, NDArray[np.float64]] = {}
    for name in [*wanted, "tau", "omega"]:
        if name not in fit.posterior:
            continue
        values = fit.posterior[name].values
        if values.ndim == 2:
            found[name] = values
        elif name == "tau" and len(fit.design.tau) == 1:
            found[name] = values[..., 0]
        else:
            found |= {f"{name}, {name_of(s, labels)}": values[..., i] for i, s in enumerate(fit.design.strata)}
    return found


def rank_table(fit: Fit, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Ranks of the draws over all chains, counted by chain.

    Returns
    -------
    DataFrame
        Columns ``quantity chain bin count expected lower upper``; `lower` and `upper` hold 99 % of the counts of a bin
        if the chains agree. Draws are thinned to about independent ones, as the interval supposes.

    Notes
    -----
    Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021, Bayesian Anal 16:667).
    """
    import pandas as pd
    from scipy.stats import binom, rankdata

    parts = []
    for name, draws in sampled_quantities(fit, labels).items():
        thin = draws[:, :: _step(fit, name, draws.size)]
        ranks = rankdata(thin, method="ordinal").reshape(thin.shape) - 1
        bins = np.clip(ranks * BINS // thin.size, 0, BINS - 1)
        n = thin.shape[1]
        low, high = (float(binom.ppf(p, n, 1 / BINS)) for p in (0.005, 0.995))
        for chain in range(len(thin)):
            counts = np.bincount(bins[chain].astype(int), minlength=BINS)
            parts.append(
                pd.DataFrame(
                    {"quantity": name, "chain": chain, "bin": range(BINS), "count": counts, "expected": n / BINS,
                     "lower": low, "upper": high}
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _step(fit: Fit, name: str, draws: int) -> int:
    """Every how many draws are about independent."""
    variable = name.partition(",")[0]
    least = float(fit.diagnostics.ess_bulk[variable].min())
    return max(1, math.ceil(draws / least)) if least > 0 else 1


def plot_rank(fit: Fit, *, labels: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Draw `rank_table`: level lines within the band mean that the chains agree."""
    table = rank_table(fit, labels)
    groups = list(table.groupby("quantity", sort=False))
    heading = title or f"{fit.endpoint}: ranks of the draws by chain"
    with style([heading, *fit.design.strata, *(labels or {}).values()]):
        note = (
            "Each line: how many draws of a chain fall into each twentieth of all ranks, thinned to about independent "
            "draws. Band: where 99 % of the counts lie if the chains agree."
        )
        figure, found = panels(heading, note, len(groups), width=2.5 * across(len(groups)) + 0.3, height=3.1)
        for axes, (name, rows) in zip(found, groups, strict=True):
            first = rows.iloc[0]
            axes.axhspan(first["lower"], first["upper"], color="#e8e8e8")
            axes.axhline(first["expected"], color=FAINT, linewidth=0.8)
            for chain, own in rows.groupby("chain"):
                axes.step(own["bin"] + 0.5, own["count"], where="mid", color=STRATA[int(chain) % 6], linewidth=1.0)
            axes.set(ylim=(0, 1.35 * rows[["count", "upper"]].to_numpy().max()), xlim=(0, BINS), xticks=[])
            axes.set_title(name)
            axes.set_xlabel("Rank")
    outside = float(((table["count"] < table["lower"]) | (table["count"] > table["upper"])).mean())
    return describe(figure, heading, f"{100 * outside:.1f} % of the counts lie outside the 99 % band.")


def plot_trace(fit: Fit, *, labels: Mapping[str, str] | None = None, title: str = "") -> Figure:
    """Draw the chains of mu, tau and omega one after the other: good ones look alike and wander nowhere."""
    found = sampled_quantities(fit, labels)
    heading = title or f"{fit.endpoint}: traces"
    with style([heading, *fit.design.strata, *(labels or {}).values()]):
        draws = next(iter(found.values())).shape[1]
        step = max(1, draws // SHOWN)
        note = f"One line a chain, {'every draw' if step == 1 else f'every draw out of {step}'}."
        figure, drawn = panels(heading, note, len(found), width=2.5 * across(len(found)) + 0.3, height=2.9)
        for axes, (name, values) in zip(drawn, found.items(), strict=True):
            for chain, own in enumerate(values[:, ::step]):
                axes.plot(
                    np.arange(len(own)) * step, own, color=STRATA[chain % 6], linewidth=0.5, alpha=0.8, rasterized=True
                )
            axes.axhline(float(values.mean()), color=INK, linewidth=0.8)
            axes.set_title(name)
            axes.set_xlabel("Draw")
    return describe(figure, heading, f"Traces of {', '.join(found)}: {len(values)} chains of {draws} draws.")
