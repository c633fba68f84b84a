"""Model averaging: the models a reasonable analyst might have chosen, weighted by their marginal likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.appraisal.alternatives import COLUMNS, changed_model, posterior_rows
from metastrata.appraisal.posteriors import Posterior, reference_of
from metastrata.appraisal.vagueness import vague
from metastrata.errors import InputError, ModelError, PriorError, unknown
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.fit import Fit, Marginal
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec
from metastrata.model.priors import prior

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
MODEL_COLUMNS = [
    *("endpoint", "model", "mean", "heterogeneity", "priors", "prior_probability", "log_evidence"),
    *("posterior_probability", "status"),
]
MEANS = ("common", "exchangeable", "independent", "biased")
AVERAGE = "model average"
WEIGHED = ("mu", "tau", "omega", "bias", "spread", "tau_within")  # whose width moves the evidence


@dataclass(frozen=True)
class ModelAverage:
    """An average over models.

    Attributes
    ----------
    models : DataFrame
        Each model with its prior and posterior probability and its log evidence.
    summary : DataFrame
        The averaged posterior, columns as `ms.alternatives`.
    marginals : mapping
        The averaged posteriors by name, each with mean, sd, quantile and cdf.
    """

    models: pd.DataFrame
    summary: pd.DataFrame
    marginals: Mapping[str, Marginal] = field(repr=False)


def average(
    fit: Fit,
    means: Sequence[str] | None = None,
    priors: Mapping[str, Mapping[str, PriorSpec]] | None = None,
    *,
    prior_probabilities: Mapping[str, float] | None = None,
) -> ModelAverage:
    """Average over relations of the stratum means, and over priors.

    Parameters
    ----------
    fit : Fit
        The main analysis; its priors are used where a set does not name another.
    means : sequence of str, optional
        Among "common", "exchangeable", "independent" and "biased"; by default all for which the priors are stated.
    priors : mapping, optional
        Named sets of priors that differ: ``{"stated": {}, "wide": {"tau": "half_normal(1)"}}``.
    prior_probabilities : mapping, optional
        Of each model, by its name ("exchangeable" or "exchangeable, wide"); by default all equal.

    Returns
    -------
    ModelAverage

    Raises
    ------
    PriorError
        If a prior is vague: the probabilities of the models would measure its width (F67).
    ModelError
        If there is one stratum and one set of priors: nothing to average over.
    InputError
        If a name is unknown, or the prior probabilities do not add to 1.

    Notes
    -----
    Hoeting, Madigan, Raftery and Volinsky (1999, Stat Sci 14:382). Given as an addition: the models answer different
    questions about the designs, and their prior probabilities are opinions; both are shown.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3], stratum=["rct", "before_after"], better="lower")
    >>> stated = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> found = ms.average(ms.fit(ms.Model(priors=stated), effects, engine="exact", draws=100))
    >>> found.models[["model", "posterior_probability"]].round(2).values.tolist()
    [['common', 0.43], ['exchangeable', 0.33], ['independent', 0.24]]
    """
    import pandas as pd

    candidates = list(_candidates(fit, means, priors or {"": {}}))
    if len(candidates) < 2:
        raise ModelError("there is one model only: give several means (with several strata), or several sets of priors")
    _refuse_vague(candidates, fit.effects)
    chances = _chances([name for name, _ in candidates], prior_probabilities)
    solved = [(name, model, _solve(arrange(model, fit.effects))) for name, model in candidates]
    evidence = np.array([found.log_evidence for *_, found in solved])
    log_weight = np.log(chances) + evidence
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight))
    rows = [
        [fit.endpoint, name, model.mean, model.heterogeneity,
         "; ".join(f"{k} ~ {v}" for k, v in model.prior_lines().items()), chances[i], evidence[i], weight[i],
         "reliable"]
        for i, (name, model, _) in enumerate(solved)
    ]  # fmt: skip
    marginals = _mixtures(fit.design, [found.marginals for *_, found in solved], weight)
    both = Posterior(marginals, "reliable", float(np.logaddexp.reduce(log_weight)))
    summary = posterior_rows(AVERAGE, both, fit.effects, list(marginals))
    return ModelAverage(
        pd.DataFrame(rows, columns=MODEL_COLUMNS), pd.DataFrame(summary, columns=COLUMNS), marginals
    )  # fmt: skip


def _solve(design: Design) -> Any:
    from metastrata.inference.exact import solve

    return solve(design)


def _candidates(
    fit: Fit, means: Sequence[str] | None, sets: Mapping[str, Mapping[str, PriorSpec]]
) -> Iterator[tuple[str, Model]]:
    """Every model wanted, by name; by default those whose priors are all stated."""
    several = len(fit.design.strata) > 1
    for word in means or ():
        if word not in MEANS:
            raise InputError(unknown("mean", word, MEANS))
    if not several and means and len(set(means)) > 1:
        raise ModelError("there is one stratum: all relations of the stratum means are the same model")
    own = fit.model.mean
    for label, changes in sets.items():
        for mean in means or (MEANS if several else (own,)):
            try:
                model = _with_mean(fit.model, mean, changes, reference_of(fit))
            except InputError:
                if means is not None:
                    raise
                continue  # a prior that this model needs is not stated
            yield (f"{mean}, {label}" if label else mean), model


def _with_mean(model: Model, mean: str, changes: Mapping[str, PriorSpec], reference: str) -> Model:
    wanted = {name: p for name, p in changes.items() if name not in ("omega", "bias") or _has(mean, name)}
    return changed_model(
        model, {"mean": mean, "priors": wanted, **({"reference": reference} if mean == "biased" else {})}
    )


def _has(mean: str, parameter: str) -> bool:
    return mean == {"omega": "exchangeable", "bias": "biased"}[parameter]


def _refuse_vague(candidates: Sequence[tuple[str, Model]], effects: Effects) -> None:
    for name, model in candidates:
        for parameter in (p for p in model.parameters if p in WEIGHED):
            spec = model.priors[parameter]
            for one in spec.values() if isinstance(spec, Mapping) else [spec]:
                if reason := vague(parameter, prior(one), effects):
                    raise PriorError(f"model '{name}' cannot be weighed against others: {reason}", "F67")


def _chances(names: Sequence[str], given: Mapping[str, float] | None) -> Floats:
    if given is None:
        return np.full(len(names), 1 / len(names))
    for name in given:
        if name not in names:
            raise InputError(unknown("model", name, names))
    values = np.array([float(given.get(name, 0.0)) for name in names])
    if not (np.all(values > 0) and abs(values.sum() - 1) < 1e-9):
        raise InputError(
            f"prior probabilities must be given for every model ({', '.join(names)}), > 0, and add to 1 "
            f"(got {', '.join(f'{v:g}' for v in values)})"
        )
    return values


def _mixtures(design: Design, found: Sequence[Mapping[str, Marginal]], weight: Floats) -> dict[str, Marginal]:
    """The averaged marginals of what every model has; a difference between designs with one mean is zero."""
    names = [f"mu_stratum[{s}]" for s in design.strata]
    if all("mu" in marginals for marginals in found):
        names.insert(0, "mu")
    names += [f"tau[{s}]" for s in design.strata]
    mixed: dict[str, Marginal] = {}
    contrasts = dict.fromkeys(n for marginals in found for n in marginals if n.startswith("contrast["))
    for name in [*names, *contrasts]:
        parts = [marginals[name] if name in marginals else Point(0.0) for marginals in found]
        mixed[name] = Mixture(tuple(parts), tuple(weight.tolist()))
    return mixed


@dataclass(frozen=True)
class Point:
    """All mass at one value."""

    value: float

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    @property
    def sd(self) -> float:
        """Zero."""
        return 0.0

    def quantile(self, p: ArrayLike) -> Floats:
        """The value, whatever the probability."""
        return np.full(np.shape(p), self.value)

    def cdf(self, x: ArrayLike) -> Floats:
        """0 below the value, 1 from it on."""
        return np.asarray(np.asarray(x, dtype=float) >= self.value, dtype=float)


@dataclass(frozen=True)
class Mixture:
    """A weighted mixture of posteriors."""

    parts: tuple[Marginal, ...]
    weights: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean."""
        return float(sum(w * part.mean for w, part in zip(self.weights, self.parts, strict=True)))

    @property
    def sd(self) -> float:
        """Standard deviation, between models included."""
        second = sum(w * (part.sd**2 + part.mean**2) for w, part in zip(self.weights, self.parts, strict=True))
        return float(np.sqrt(max(second - self.mean**2, 0.0)))

    def cdf(self, x: ArrayLike) -> Floats:
        """P(quantity <= x), any shape of `x`."""
        return np.asarray(sum(w * part.cdf(x) for w, part in zip(self.weights, self.parts, strict=True)))

    def quantile(self, p: ArrayLike) -> Floats:
        """Quantiles at the probabilities `p`; by bisection where a model puts mass on a point."""
        p = np.asarray(p, dtype=float)
        each = np.stack([part.quantile(p) for part in self.parts]).reshape(len(self.parts), -1)
        found = [
            _invert(self, float(q), low, high) for q, low, high in zip(p.ravel(), each.min(0), each.max(0), strict=True)
        ]
        return np.asarray(found, dtype=float).reshape(p.shape)


def _invert(mixture: Mixture, p: float, low: float, high: float) -> float:
    for _ in range(60):
        if high - low <= 1e-9 * (1 + abs(low) + abs(high)):
            break
        middle = (low + high) / 2
        low, high = (low, middle) if float(mixture.cdf(middle)) >= p else (middle, high)
    return (low + high) / 2
