"""What is normal given the standard deviations: the means, biases and coefficients, and how strata depend on them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.components import IntegrationError, NormalParts, normal_parts
from metastrata.inference.design import Design
from metastrata.inference.tables import PriorParts, Table

Floats = NDArray[np.float64]

MOST_PARTS = 400


@dataclass(frozen=True)
class System:
    """The coefficients shared by strata.

    Attributes
    ----------
    names : tuple of str
        "mu" or "mu_stratum[...]", then "bias[...]", then "beta[...]".
    loading : ndarray, shape (stratum, b, coefficient)
        For each stratum, (centre of its mean, beta) = loading @ coefficients.
    prior : PriorParts
    """

    names: tuple[str, ...]
    loading: Floats
    prior: PriorParts

    def lift(self, stratum: int, table: Table) -> Table:
        """A stratum's table as one about the coefficients."""
        load = self.loading[stratum]
        information = np.einsum("bp,nbc,cq->npq", load, table.information, load, optimize=True)
        return Table(table.constant, table.vector @ load, information)


def system_of(design: Design) -> System:
    """The coefficients of a design.

    Raises
    ------
    IntegrationError
        If a prior of a mean is uniform, or several are so heavy-tailed that their normal parts are too many.
    """
    strata, slopes = len(design.strata), len(design.beta)
    if design.mean == "independent":
        means = [(f"mu_stratum[{s}]", design.mu) for s in design.strata]
    else:
        means = [("mu", design.mu)]
    biases = [(f"bias[{design.strata[s]}]", p) for s, p in zip(design.others, design.bias, strict=True)]
    betas = [(f"beta[{name}]", p) for name, p in zip(design.coefficients, design.beta, strict=True)]
    every = [*means, *biases, *betas]
    loading = np.zeros((strata, 1 + slopes, len(every)))
    for s in range(strata):
        loading[s, 0, s if design.mean == "independent" else 0] = 1
        if s in design.others:
            loading[s, 0, len(means) + design.others.index(s)] = 1
        loading[s, 1:, len(means) + len(biases) :] = np.eye(slopes)
    y, se = design.y, design.se
    parts = []
    for name, p in every:
        scale = np.ones(1) if not name.startswith("beta") else _scales(design, name)
        parts.append(_checked(name, normal_parts(p, y / scale, se / scale)))
    return System(tuple(name for name, _ in every), loading, _every(parts))


def _scales(design: Design, name: str) -> Floats:
    """The spread of a moderator: what a coefficient can be lies where estimates divided by it lie."""
    assert design.x is not None
    column = design.x[:, design.coefficients.index(name[5:-1])]
    return np.asarray([max(float(np.std(column)), 1e-12)])


def _checked(name: str, parts: NormalParts) -> NormalParts:
    if parts.flat:
        raise IntegrationError(
            f"a uniform prior of {name} is not a mixture of normals: in this model the exact engine needs normal, "
            "student_t, cauchy or a mixture of them. Use engine 'nuts'"
        )
    if parts.bounds is not None:
        raise IntegrationError(
            f"a truncated prior of {name} is not a mixture of normals: in this model the exact engine needs normal, "
            "student_t, cauchy or a mixture of them. Use engine 'nuts'"
        )
    return parts


def _every(parts: list[NormalParts]) -> PriorParts:
    """Every combination of the parts of independent priors."""
    count = int(np.prod([len(p.log_weight) for p in parts]))
    if count > MOST_PARTS:
        raise IntegrationError(
            f"the priors of means, biases and coefficients are {count} combinations of normals, too many to integrate: "
            "let at most one of them be heavy-tailed, or use engine 'nuts'"
        )
    chosen = list(product(*(range(len(p.log_weight)) for p in parts)))
    take = [np.array([row[i] for row in chosen]) for i in range(len(parts))]
    return PriorParts(
        np.sum([p.log_weight[t] for p, t in zip(parts, take, strict=True)], axis=0),
        np.stack([p.mean[t] for p, t in zip(parts, take, strict=True)], axis=1),
        np.stack([p.variance[t] for p, t in zip(parts, take, strict=True)], axis=1),
    )
