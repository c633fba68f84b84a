"""Trials as two arms and single arms as rates in one model: baseline and effect from one posterior.

Sources: the arm-level binomial-normal model with random baselines, Simmonds and Higgins 2016 (Stat Methods Med Res
25:2858), model 5, here with its effects added to the treated arm; Jackson and others 2018 (Stat Med 37:1059) compare
the codings. Contrast-based against arm-based: Dias and Ades 2016 (Res Synth Methods 7:23).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.absolute_rows import COLUMNS, LEVELS, absolute_rows, level_row
from metastrata.appraisal.events_problem import Borrow, events_problem
from metastrata.evidence.effects import Effects
from metastrata.inference.arms.problem import ArmsProblem
from metastrata.inference.components import IntegrationError
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec
from metastrata.model.priors import Prior

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.inference.arms.posterior import ArmsPosterior
    from metastrata.inference.fit import Fit

Floats = NDArray[np.float64]
SUMMARY = ["quantity", "mean", "median", "sd", "eti95_lower", "eti95_upper"]
DRAWS = 20000


@dataclass(frozen=True)
class JointEvents:
    """Events of trials and single arms, analysed together.

    Attributes
    ----------
    table : DataFrame
        Columns of `absolute_effects`. Stratum "trials": risk without treatment, risk with it, odds ratio, risk ratio,
        risk difference, number needed to treat, of the means ("mean") and of a new study ("new"); then the risk in the
        stratum of the single arms.
    summary : DataFrame
        ``quantity mean median sd eti95_lower eti95_upper`` of baseline, baseline_sd, mu, tau; shift if it has a prior.
    draws : mapping of str to ndarray, shape (draw,)
        Joint draws of these.
    engine, status : str
    reasons : tuple of str
        Why it is not reliable.
    log_evidence, error : float or None
        Of the exact engine: log marginal likelihood (of the trials, and of single arms that borrow), and the last
        change on refinement in posterior SDs.
    single_arms : Fit or None
        The fit of the single arms where they borrow nothing.
    """

    table: pd.DataFrame
    summary: pd.DataFrame
    draws: Mapping[str, Floats]
    engine: str
    status: str
    reasons: tuple[str, ...]
    log_evidence: float | None
    error: float | None
    single_arms: Fit | None

    def __repr__(self) -> str:
        return f"<JointEvents {self.engine}, {self.status}>"


def joint_events(
    trials: Effects,
    single_arms: Effects | None = None,
    *,
    priors: Mapping[str, PriorSpec],
    borrow: Borrow = "none",
    engine: str = "exact",
    seed: int = 1,
    draws: int = 2000,
    tune: int = 1000,
    chains: int = 4,
) -> JointEvents:
    """Fit the two arms of trials, and single arms beside them, with exact likelihoods and exchangeable baselines.

    Control arms have log odds (of counts over person-time: log rates) ``b_i ~ normal(baseline, baseline_sd)``, treated
    arms ``b_i + d_i`` with ``d_i ~ normal(mu, tau)``; the counts are binomial (Poisson). Comparisons stay within
    trials, but baselines are not free: they inform each other, and very unequal arms or risks move mu a little
    (contrast-based with random baselines). With baselines of their own, use `Model(likelihood="exact")`.

    Parameters
    ----------
    trials : Effects
        Of one endpoint, measure "OR" or "IRR", derived from counts. Arms without events enter as they are.
    single_arms : Effects, optional
        Of the same event, measure "PLO" or "IRLN".
    priors : mapping
        Of `baseline`, `baseline_sd`, `mu` and `tau`. Single arms that borrow nothing need `single` and `single_sd`, the
        mean of their levels and its SD; those that borrow may have `shift`.
    borrow : {"none", "baseline"}
        "none": single arms are a stratum of their own, and say nothing of the trials. "baseline": they are treated arms
        whose controls were drawn like those of the trials, ``normal(baseline + mu + shift, sqrt(baseline_sd^2 +
        tau^2))``. Without a prior of `shift` that takes the patients of both for exchangeable, which is an assumption
        no data can check; the prior says how far they may differ.
    engine : {"exact", "nuts"}
    seed, draws, tune, chains : int
        Of the sampler; by integration `draws` is not used.

    Returns
    -------
    JointEvents

    Raises
    ------
    InputError
        If effects are not counts of one event, or of different kinds.
    PriorError, ModelError
        If a prior is missing, or cannot be.
    IntegrationError
        If the exact engine does not reach its accuracy with these priors.

    Examples
    --------
    >>> import pandas as pd
    >>> import metastrata as ms
    >>> columns = ["study", "design", "endpoint", "events_treated", "n_treated", "events_control", "n_control"]
    >>> rows = [["A", "rct", "death", 1, 30, 4, 28], ["B", "rct", "death", 0, 12, 2, 12]]
    >>> trials = ms.effect_sizes(pd.DataFrame(rows, columns=columns), measure="OR", better={"death": "lower"})
    >>> priors = {"baseline": "normal(0, 2)", "baseline_sd": "half_normal(1)", "mu": "normal(0, 2.82)",
    ...           "tau": "half_normal(0.5)"}
    >>> found = joint_events(trials, priors=priors)
    >>> found.table["expression"].to_list()[:5]
    ['control risk', 'risk', 'odds ratio', 'risk ratio', 'risk difference']
    """
    from metastrata.inference.attempts import require_settings

    require_settings(engine, ("exact", "nuts"), draws, tune, chains)
    problem, own = events_problem(trials, single_arms, priors, borrow)
    higher = trials.direction == "higher"
    rng = np.random.default_rng(seed)
    reasons: tuple[str, ...] = ()
    if engine == "exact":
        posterior = _solved(problem)
        values, weight = dict(posterior.points.values), posterior.points.weight
        kept, summary = posterior.draws(DRAWS, rng), _integrated(posterior)
        if problem.shift is not None:
            values, weight = dict(kept), np.ones(DRAWS)
            summary += [_drawn("shift", kept["shift"])]
        status, evidence, error = "reliable", posterior.log_evidence, posterior.error
    else:
        values, status, reasons = _sampled(problem, seed, draws, tune, chains)
        kept, weight = values, np.ones(len(values["mu"]))
        summary, evidence, error = [_drawn(name, array) for name, array in values.items()], None, None
    rows = _rows(values, weight, higher, rng, trials.measure == "IRR")
    beside = None
    if single_arms is not None:
        beside, more = _single_rows(single_arms, own, values, weight, borrow, rng, seed)
        rows += more
    import pandas as pd

    return JointEvents(pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame(summary, columns=SUMMARY), kept, engine,
                       status, reasons, evidence, error, beside)  # fmt: skip


def _solved(problem: ArmsProblem) -> ArmsPosterior:
    """The posterior by integration; refused in words where a prior runs beyond what numbers hold."""
    from metastrata.inference.arms.posterior import arms_posterior

    try:
        return arms_posterior(problem)
    except np.linalg.LinAlgError:
        spreads = f"baseline_sd ~ {problem.baseline_sd}, tau ~ {problem.tau}"
        raise IntegrationError(f"the joint model of events cannot be integrated: its priors allow SDs so large that "
                               f"the matrices of the arms are singular ({spreads}). Take priors with lighter tails, "
                               "such as half_normal(1), or engine = 'nuts'") from None  # fmt: skip


def _integrated(posterior: ArmsPosterior) -> list[list[object]]:
    return [[name, mean, *_middle_first(posterior.quantiles(name, LEVELS), sd)]
            for name, (mean, sd) in posterior.grid.moments().items()]  # fmt: skip


def _drawn(name: str, values: Floats) -> list[object]:
    return [name, float(values.mean()), *_middle_first(np.quantile(values, LEVELS), float(values.std(ddof=1)))]


def _middle_first(points: Floats, sd: float) -> list[object]:
    return [float(points[0]), sd, float(points[1]), float(points[2])]


def _sampled(
    problem: ArmsProblem, seed: int, draws: int, tune: int, chains: int
) -> tuple[dict[str, Floats], str, tuple[str, ...]]:
    """Draws by NUTS and the verdict on them."""
    from metastrata.inference.convergence import diagnose
    from metastrata.inference.graph_arms import sample_arms
    from metastrata.inference.nuts import Settings

    found, stats = sample_arms(problem, Settings(draws, tune, chains, seed=seed))
    verdict = diagnose(found, stats, chains, draws)
    return {str(n): np.ravel(found[n].values) for n in found.data_vars}, verdict.status, verdict.reasons


def _rows(
    values: Mapping[str, Floats], weight: Floats, higher: bool, rng: np.random.Generator, rates: bool
) -> list[list[object]]:
    """What follows for a clinic: of the means, and of a new study."""
    baseline, mu = values["baseline"], values["mu"]
    rows = absolute_rows("trials", "mean", baseline, mu, higher, weight, rates)
    ahead = baseline + values["baseline_sd"] * rng.standard_normal(len(mu))
    effect = mu + values["tau"] * rng.standard_normal(len(mu))
    return rows + absolute_rows("trials", "new", ahead, effect, higher, weight, rates)


def _single_rows(
    single_arms: Effects, own: Mapping[str, Prior], values: Mapping[str, Floats], weight: Floats, borrow: str,
    rng: np.random.Generator, seed: int,
) -> tuple[Fit | None, list[list[object]]]:  # fmt: skip
    """The risk with treatment in the stratum of the single arms."""
    name, rates = single_arms.strata[0], single_arms.measure == "IRLN"
    if borrow == "none":
        from metastrata.inference.fit import fit_one

        priors = {"mu": own["single"], "tau": own["single_sd"]}
        model = Model(mean="common", heterogeneity="common", likelihood="exact", priors=priors)
        found = fit_one(model, single_arms, engine="exact", seed=seed)
        points = {"mean": found.marginal("mu").quantile(LEVELS),
                  "new": found.marginal("theta_new", name).quantile(LEVELS)}  # fmt: skip
        return found, [level_row(name, quantity, level, rates) for quantity, level in points.items()]
    from metastrata.inference.arms.posterior import weighted_quantiles

    level = values["baseline"] + values["mu"] + values.get("shift", np.zeros(1))
    spread = np.hypot(values["baseline_sd"], values["tau"])
    ahead = level + spread * rng.standard_normal(len(level))
    return None, [level_row(name, quantity, weighted_quantiles(x, weight, LEVELS), rates)
                  for quantity, x in (("mean", level), ("new", ahead))]  # fmt: skip
