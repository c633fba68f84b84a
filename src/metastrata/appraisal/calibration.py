"""Simulation-based calibration: parameters from the prior, data from them, and where the truth ranks in the posterior.

If model, data and sampler mean the same thing, the rank of the truth among posterior draws is uniform (Talts 2018,
arXiv:1804.06788; Modrak 2023, Bayesian Anal: ranks of the joint log likelihood see what ranks of parameters miss).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metastrata.appraisal.sources import hash_of
from metastrata.errors import MetastrataError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.draws import complete, likelihood_and_replicates, prior_draws
from metastrata.model.model import Model
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]
Sampler = Callable[[Design, np.random.Generator], xr.Dataset]
Fault = Callable[[Design], Design]

RANKED = ("mu", "mu_stratum", "tau", "tau_typical", "spread", "tau_within", "omega", "bias", "beta", "r", "df",
          "contrast", "theta_new", "theta")  # fmt: skip
DRAWS = 255
# What a model is: the arrays, the algebra, the PyMC graph, and how draws are made whole.
MODEL_SOURCE = ("design.py", "draws.py", "gaussian.py", "graph.py", "nuts.py")
# Where likelihoods or study effects are not normal: these too.
FORM_SOURCE = (*MODEL_SOURCE, "graph_forms.py", "grid/*.py")


@dataclass(frozen=True)
class Scenario:
    """A model and the studies it is tried on.

    Attributes
    ----------
    name : str
    model : Model
    se : tuple of (str, tuple of float)
        Standard errors of the studies by stratum.
    columns : mapping
        What else is known of the studies: moderators, the study an effect is nested in.
    """

    name: str
    model: Model
    se: tuple[tuple[str, tuple[float, ...]], ...]
    columns: Mapping[str, Sequence[object]] = field(default_factory=dict)

    def design(self, y: Floats | None = None) -> Design:
        """The design with these estimates, shape (study,); zero if none are given."""
        se = [e for _, errors in self.se for e in errors]
        stratum = [name for name, errors in self.se for _ in errors]
        effects = Effects.from_estimates(
            np.zeros(len(se)) if y is None else y, se, stratum=stratum, moderators=self.columns or None
        )
        return arrange(self.model, effects)

    def simulated(self, truth: xr.Dataset, rng: np.random.Generator) -> Design:
        """The design with estimates drawn given the truth, one draw of everything."""
        theta, blank = truth["theta"].values[0, 0], self.design()
        return self.design(theta + blank.se * rng.standard_normal(theta.shape))

    @property
    def source(self) -> tuple[str, ...]:
        """The files the model is made of, in `metastrata.inference`."""
        return MODEL_SOURCE if self.design().form is None else FORM_SOURCE


@dataclass(frozen=True)
class Calibration:
    """Ranks of the truth.

    Attributes
    ----------
    scenario : str
    ranks : mapping of str to ndarray, shape (replication,)
        By quantity, as shares of the draws: uniform between 0 and 1 if all is well.
    failed : int
        Replications without a posterior.
    """

    scenario: str
    ranks: Mapping[str, Floats]
    failed: int = 0

    def p_values(self) -> dict[str, float]:
        """Kolmogorov's test of uniformity by quantity: whether the ECDF stays in a simultaneous envelope."""
        from scipy import stats

        return {name: float(stats.kstest(values, "uniform").pvalue) for name, values in self.ranks.items()}

    @property
    def worst(self) -> tuple[str, float]:
        """The quantity with the least p-value, and that p-value times the number of quantities (Bonferroni)."""
        p = self.p_values()
        name = min(p, key=p.__getitem__)
        return name, min(1.0, p[name] * len(p))


def sample_exact(design: Design, rng: np.random.Generator) -> xr.Dataset:
    """Independent draws of everything, by the exact engine."""
    from metastrata.inference.exact import solve

    return complete(design, solve(design).draws(1, DRAWS, rng), rng)


def sample_nuts(design: Design, rng: np.random.Generator) -> xr.Dataset:
    """Draws of everything by NUTS, thinned until they are nearly independent; compiled once per shape."""
    from metastrata.inference.nuts import Settings, sample

    every = 4
    drawn = sample(design, Settings(every * DRAWS, 500, 1, 0.95, int(rng.integers(1, 2**31))))
    return complete(design, {name: values[:, ::every] for name, values in drawn.values.items()}, rng)


def sample_prior(design: Design, rng: np.random.Generator) -> xr.Dataset:
    """A posterior that has not seen the data: it must be found out."""
    return prior_draws(design, rng, DRAWS)


def calibrate(
    scenario: Scenario,
    sampler: Sampler = sample_exact,
    replications: int = 1000,
    seed: int = 1,
    fault: Fault | None = None,
) -> Calibration:
    """Draw, simulate, fit and rank.

    Parameters
    ----------
    scenario : Scenario
    sampler : callable
        From a design and a generator to posterior draws: `sample_exact` or `sample_nuts`.
    replications, seed : int
    fault : callable, optional
        Changes the design before it is fitted: a seeded error, to see whether it is found.

    Returns
    -------
    Calibration
    """
    rng = np.random.default_rng(seed)
    truths = prior_draws(scenario.design(), rng, replications)
    found: dict[str, list[float]] = {}
    failed = 0
    for i in range(replications):
        truth = truths.isel(draw=[i])
        design = scenario.simulated(truth, rng)
        try:
            posterior = sampler(fault(design) if fault else design, rng)
        except MetastrataError:
            failed += 1
            continue
        for name, rank in _ranks(design, truth, posterior, rng).items():
            found.setdefault(name, []).append(rank)
    return Calibration(scenario.name, {name: np.array(values) for name, values in found.items()}, failed)


def _ranks(design: Design, truth: xr.Dataset, posterior: xr.Dataset, rng: np.random.Generator) -> dict[str, float]:
    """Share of the draws below the truth by quantity, smoothed by a uniform number within the rank."""
    ranks: dict[str, float] = {}
    for name in (n for n in RANKED if n in posterior):
        draws = posterior[name].values.reshape(-1, *posterior[name].shape[2:])
        value = truth[name].values[0, 0]
        labels = [""] if draws.ndim == 1 else [str(v) for v in posterior[name][posterior[name].dims[-1]].values]
        if name == "theta":
            labels = labels[:1]  # one study stands for all: they are exchangeable within their stratum
        if name == "tau" and len(design.tau) == 1:
            labels = labels[:1]
        for j, label in enumerate(labels):
            own, at = (draws, value) if draws.ndim == 1 else (draws[:, j], value[j])
            ranks[f"{name}[{label}]" if label else name] = share_below(own, float(at), rng)
    likelihood = [likelihood_and_replicates(design, part, rng)[0].sum(-1) for part in (posterior, truth)]
    ranks["log_likelihood"] = share_below(likelihood[0].ravel(), float(likelihood[1].ravel()[0]), rng)
    return ranks


def share_below(draws: Floats, value: float, rng: np.random.Generator) -> float:
    """Share of the draws below a value, smoothed by a uniform number within its rank."""
    below, equal = int(np.sum(draws < value)), int(np.sum(draws == value))
    return float((below + rng.random() * (equal + 1)) / (len(draws) + 1))


def collect(
    name: str, replications: int, once: Callable[[], Iterable[tuple[str, Floats, float]]], rng: np.random.Generator
) -> Calibration:
    """Ranks over replications; `once` draws, simulates and fits, and gives name, draws and truth of what is ranked."""
    found: dict[str, list[float]] = {}
    failed = 0
    for _ in range(replications):
        try:
            rows = once()
        except MetastrataError:
            failed += 1
            continue
        for quantity, values, truth in rows:
            found.setdefault(quantity, []).append(share_below(values, truth, rng))
    return Calibration(name, {quantity: np.array(ranks) for quantity, ranks in found.items()}, failed)


def envelope(replications: int, quantities: int, level: float = 0.95) -> float:
    """Half width of the band in which the ECDFs of all quantities stay together with this probability."""
    from scipy import stats

    return float(stats.kstwo.ppf(1 - (1 - level) / quantities, replications))


def coverage(
    k: int, tau: float, prior: Prior, replications: int = 5000, seed: int = 1, mu: float = 0.3
) -> tuple[float, float]:
    """How often the 95 % interval of mu holds a fixed true value, and its mean width, with k studies of one stratum.

    Unlike calibration this is no property of the model: parameters are fixed, not drawn from the prior.
    """
    from metastrata.inference.batch import Batch, solve_batch

    rng = np.random.default_rng(seed)
    se = rng.uniform(0.15, 0.4, (replications, k))
    y = mu + np.sqrt(tau**2 + se**2) * rng.standard_normal((replications, k))
    batch = Batch(y, se, np.zeros(replications), np.ones(replications), [prior] * replications)
    lower, _, upper = solve_batch(batch, points=()).quantiles[:, 0].T
    return float(np.mean((lower <= mu) & (mu <= upper))), float(np.mean(upper - lower))


def _scaled(design: Design) -> Design:
    prior = design.omega
    return replace(design, omega=None if prior is None else replace(prior, parameters=(2 * prior.parameters[0],)))


def _flipped(design: Design) -> Design:
    return replace(design, y=np.where(design.stratum == 1, -design.y, design.y))


FAULTS: Mapping[str, Fault] = {
    "standard errors taken for variances": lambda design: replace(design, se=np.sqrt(design.se)),
    "prior of omega twice as wide": _scaled,
    "sign turned round in one stratum": _flipped,
}


def source_hash(files: Sequence[str] = MODEL_SOURCE) -> str:
    """Hash of the source of models; see `metastrata.appraisal.sources`."""
    import metastrata.inference

    folder = Path(metastrata.inference.__file__).parent
    return hash_of((path for name in files for path in sorted(folder.glob(name))), checks=False)
