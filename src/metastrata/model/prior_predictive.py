"""Before the data: what the priors say of study effects and stratum means, and of the endpoint's own scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metastrata.errors import InputError
from metastrata.model.model import Model
from metastrata.model.prior_mixtures import Predicted, count_of, mean_terms, predicted, spread_term, tau_nodes

if TYPE_CHECKING:
    import pandas as pd

LARGE, HUGE = 3.0, 5.0
OFTEN, SOMETIMES = 0.05, 0.01
# Measures on which 3 is a very large effect: standardised, or the logarithm of a ratio (a ratio of 20).
STANDARDISED = {"SMD", "SMDH", "SMD1", "SMCC", "PPC2", "SMCRD", "GEN"}
LOGARITHMIC = {"OR", "RR", "HR", "IRR", "ROM", "PETO"}


@dataclass(frozen=True)
class PriorPredictive:
    """What the priors of a model say before any data.

    Attributes
    ----------
    quantities : tuple of Predicted
        ``mu_stratum`` and ``theta`` (true study effects) of each stratum.
    sd, unit, measure : float or None, str, str
        The SD and unit of the endpoint, if declared, and the effect measure.
    labels : mapping
        Names of strata in sentences.
    """

    quantities: tuple[Predicted, ...]
    sd: float | None
    unit: str
    measure: str
    labels: Mapping[str, str]

    def __getitem__(self, name: str) -> Predicted:
        for one in self.quantities:
            if name in (f"{one.quantity}[{one.stratum}]", one.quantity):
                return one
        raise InputError(f"no '{name}' here: {', '.join(f'{o.quantity}[{o.stratum}]' for o in self.quantities)}")

    def to_frame(self) -> pd.DataFrame:
        """One row per quantity: 95 % range, P(abs > 1, 3, 5), and the range on the endpoint's own scale."""
        import pandas as pd

        rows = []
        for one in self.quantities:
            low, middle, high = one.quantile([0.025, 0.5, 0.975])
            row = {"quantity": one.quantity, "stratum": one.stratum, "median": float(middle),
                   "eti95_lower": float(low), "eti95_upper": float(high)}  # fmt: skip
            row |= {f"p_beyond_{limit:g}": one.beyond(limit) for limit in (1.0, LARGE, HUGE)}
            if self.sd is not None:
                row |= {
                    "lower_natural": float(low) * self.sd,
                    "upper_natural": float(high) * self.sd,
                    "unit": self.unit,
                }
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a clinician would want to know, one sentence per different stratum."""
        said: dict[str, list[str]] = {}
        for one in self.quantities:
            if one.quantity == "theta":
                low, high = (float(v) for v in one.quantile([0.025, 0.975]))
                mean = self[f"mu_stratum[{one.stratum}]"]
                said.setdefault(self._sentence(low, high, mean.beyond(1.0)), []).append(one.stratum)
        alone = len(said) == 1
        return tuple(
            f"Before any data, 95 % of true study effects{'' if alone else f' in {self._names(strata)}'} lie {text}"
            for text, strata in said.items()
        )

    def _names(self, strata: Sequence[str]) -> str:
        return " and ".join(self.labels.get(name, name) for name in strata)

    def _sentence(self, low: float, high: float, large: float) -> str:
        if self.measure == "PLO":
            risks = [100 / (1 + math.exp(-limit)) for limit in (low, high)]
            return f"between {low:.2f} and {high:.2f} (risks of {risks[0]:.2g} % to {risks[1]:.3g} %)."
        if self.measure == "IRLN":
            return f"between {low:.2f} and {high:.2f} (rates of {math.exp(low):.2g} to {math.exp(high):.3g})."
        if self.measure in LOGARITHMIC:
            text = f"between {low:.2f} and {high:.2f} (ratios of {math.exp(low):.2g} to {math.exp(high):.3g})"
            limit = f"a ratio beyond {math.e:.1f} or {1 / math.e:.2f}"
        else:
            unit = " SD" if self.measure in STANDARDISED - {"GEN"} else ""
            text, limit = f"between {low:.2f} and {high:.2f}{unit}", f"beyond 1{unit}"
            if self.sd is not None:
                text += f" ({low * self.sd:.3g} to {high * self.sd:.3g} {self.unit})".replace(" )", ")")
        return f"{text}; a mean effect {limit} in either direction has probability {_percent(large)}."

    @property
    def warnings(self) -> tuple[str, ...]:
        """F63: where the priors believe in absurd effects."""
        if self.measure not in STANDARDISED | LOGARITHMIC:
            return ()
        unit = "SD" if self.measure in STANDARDISED else "on the log scale, a ratio of 20"
        found: dict[str, list[str]] = {}
        for one in self.quantities:
            mean = one.quantity == "mu_stratum"
            limit, most = (LARGE, OFTEN) if mean else (HUGE, SOMETIMES)
            share = one.beyond(limit)
            if share > most:
                what = "mean effects" if mean else "true study effects"
                size = unit if mean or self.measure in STANDARDISED else "on the log scale, a ratio of 150"
                text = f"the priors put {_percent(share)} on {what} beyond +-{limit:g} {size}"
                found.setdefault(text, []).append(one.stratum)
        return tuple(
            f"{text} ({self._names(strata)}): hardly any treatment does that. Choose narrower priors, or say why"
            for text, strata in found.items()
        )

    def __repr__(self) -> str:
        return "\n".join([*self.sentences, *(f"warning: {text}" for text in self.warnings)])


def _percent(share: float) -> str:
    return "below 0.1 %" if share < 0.001 else f"{100 * share:.2g} %"


def prior_predictive(
    model: Model,
    strata: Sequence[str] | Mapping[str, str] = ("all studies",),
    *,
    measure: str = "SMD",
    sd: float | None = None,
    unit: str = "",
) -> PriorPredictive:
    """Work out what the priors of a model say of stratum means and true study effects, before any data.

    By quadrature over the quantiles of each standard deviation: no draws.

    Parameters
    ----------
    model : Model
    strata : sequence of str, or mapping from name to label
    measure : str
        Effect measure.
    sd : float, optional
        SD of the endpoint in patients, to say the same on its own scale.
    unit : str
        Unit of the endpoint.

    Returns
    -------
    PriorPredictive

    Raises
    ------
    PriorError
        If a prior is improper: it predicts nothing.
    InputError
        If `sd` is not positive.

    Examples
    --------
    >>> model = Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> prior_predictive(model, sd=4, unit="points")
    Before any data, 95 % of true study effects lie between -2.20 and 2.20 SD (-8.79 to 8.79 points); a mean effect
    beyond 1 SD in either direction has probability 32 %.
    """
    if sd is not None and not (isinstance(sd, (int, float)) and 0 < sd < math.inf):
        raise InputError(f"sd must be the SD of the endpoint, above 0 (got {sd!r})")
    labels = dict(strata) if isinstance(strata, Mapping) else {name: name for name in strata}
    found = []
    for name in labels:
        mean = mean_terms(model, name, single=len(labels) == 1)
        tau = tau_nodes(model, name, count_of(mean[0]))
        found += [predicted("mu_stratum", name, mean), predicted("theta", name, [*mean, spread_term(*tau)])]
    return PriorPredictive(tuple(found), sd, unit, measure, labels)
