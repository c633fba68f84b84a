"""One run of nutpie's NUTS on a compiled graph, with what can go wrong in words."""

from __future__ import annotations

import time
from typing import Any

import nutpie
import xarray as xr
from numpy.typing import NDArray

from metastrata.errors import SamplingError
from metastrata.inference.nuts import Settings


def run_nuts(graph: Any, settings: Settings) -> tuple[xr.Dataset, dict[str, NDArray[Any]], float]:
    """Sample a compiled graph.

    Returns
    -------
    posterior : Dataset
    stats : dict
        The sampler's statistics, (chain, draw); those that hold objects cannot be saved and are left out.
    seconds : float

    Raises
    ------
    SamplingError
        If the sampler cannot start or breaks down.
    """
    start = time.perf_counter()
    try:
        tree = nutpie.sample(
            graph,
            draws=settings.draws,
            tune=settings.tune,
            chains=settings.chains,
            cores=min(settings.chains, 4),
            seed=settings.seed,
            target_accept=settings.target_accept,
            progress_bar=False,
            save_warmup=False,
        )
    except RuntimeError as error:
        raise SamplingError(
            f"the sampler could not run on these data and priors: {str(error).splitlines()[0]}"
        ) from error
    stats = {
        str(name): array.values
        for name, array in tree["sample_stats"].dataset.data_vars.items()
        if array.dtype != object and array.dims == ("chain", "draw")
    }
    return tree["posterior"].dataset, stats, time.perf_counter() - start
