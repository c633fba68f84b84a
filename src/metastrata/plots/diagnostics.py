"""ArviZ's diagnostic figures: ranks, traces, prior against posterior."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from metastrata.inference.fit import Fit
from metastrata.plots.style import style


def top_level(fit: Fit) -> list[str]:
    """The sampled quantities: what the chains have to agree on."""
    return [name for name in ("mu", "mu_stratum", "tau", "omega") if name in fit.posterior and _sampled(fit, name)]


def _sampled(fit: Fit, name: str) -> bool:
    return name != "mu_stratum" or fit.design.mean == "independent"


def _thinned(fit: Fit, names: list[str]) -> Any:
    """The draws thinned to about independent ones: the rank test takes them for that."""
    draws = fit.posterior.sizes["draw"] * fit.posterior.sizes["chain"]
    least = min(float(fit.diagnostics.ess_bulk[name].min()) for name in names)
    step = max(1, math.ceil(draws / least)) if least > 0 else 1
    return fit.draws.map_over_datasets(
        lambda group: group.isel(draw=slice(None, None, step)) if "draw" in group.sizes else group
    )


def save_diagnostics(fit: Fit, folder: Path) -> dict[str, Path]:
    """Draw rank, trace and prior-posterior figures with ArviZ and write them as PNG.

    Returns
    -------
    dict
        Kind of figure to its path.
    """
    import arviz_plots as az

    names = top_level(fit)
    panels = sum(fit.posterior[name].isel(chain=0, draw=0).size for name in names)
    grid: dict[str, Any] = {"backend": "matplotlib", "var_names": names, "col_wrap": 3}
    grid["figure_kwargs"] = {"figsize": (9, 2.5 * -(-panels // 3)), "layout": "constrained"}
    drawings: dict[str, Any] = {
        "prior_posterior": lambda: az.plot_prior_posterior(fit.draws, **grid),
    }
    if fit.engine == "nuts":
        thinned = _thinned(fit, names)
        drawings["rank"] = lambda: az.plot_rank(thinned, **grid)
        drawings["trace"] = lambda: az.plot_trace_dist(fit.draws, var_names=names, backend="matplotlib", compact=True)
    paths = {}
    for kind, draw in drawings.items():
        path = folder / f"{fit.endpoint}_{kind}.png"
        with style(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            draw().savefig(path, dpi=80)
        paths[kind] = path
    import matplotlib.pyplot as plt

    plt.close("all")
    return paths
