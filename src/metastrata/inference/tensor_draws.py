"""Independent draws from a posterior on a tensor: its standard deviations one after another, then the coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from metastrata.inference.quadrature import ScaleRule
from metastrata.inference.tables import Table, condition, link, tabulate

if TYPE_CHECKING:
    from metastrata.inference.tensor import Tensor

Floats = NDArray[np.float64]

BLOCK = 4_000_000
STEPS = 241
AT_ONCE = 500
FAR = 6.0


def draw(tensor: Tensor, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Draw every parameter of the model but stratum means and study effects, each of shape (draw, ...)."""
    step = max(1, BLOCK // int(np.prod(tensor.shape[1:], initial=1)))
    step = step if tensor.spreads is None else min(step, AT_ONCE)
    blocks = [_draw_scales(tensor, min(step, size - i), rng) for i in range(0, size, step)]
    scales = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    return scales | _draw_coefficients(tensor, scales, rng)


def _draw_scales(tensor: Tensor, size: int, rng: np.random.Generator) -> dict[str, Floats]:
    taus = len(tensor.taus)
    if tensor.spreads is None:
        drawn, rest = _chain(tensor.mass, tensor.taus, size, rng)
        values: dict[str, Floats] = {}
    else:
        values, drawn = _draw_spreads(tensor, size, rng)
        rest = _given_taus(tensor, drawn)
    later, _ = _chain(rest, tensor.rules[taus:], size, rng, by_draw=True)
    names = [name for name, rule in (("tau_within", tensor.within), ("omega", tensor.omega)) if rule is not None]
    strata = len(tensor.design.strata)
    values["tau"] = np.stack(drawn * strata if taus == 1 else drawn, axis=-1)
    return values | dict(zip(names, later, strict=True))


def _chain(
    mass: Floats, rules: tuple[ScaleRule, ...], size: int, rng: np.random.Generator, *, by_draw: bool = False
) -> tuple[list[Floats], Floats]:
    """Draw along the first axes of a mass, one after another; what is left of it has a row for each draw.

    The first axis of `mass` runs over draws if it is `by_draw`; otherwise it is the same for all of them.
    """
    drawn: list[Floats] = []
    current = mass
    for rule in rules:
        shared = not drawn and not by_draw
        own = current.reshape(1, len(rule.t), -1) if shared else current.reshape(size, len(rule.t), -1)
        marginal = np.maximum(own.sum(2), 0)
        t = rule.draw(np.broadcast_to(marginal, (size, len(rule.t))), rng.random(size))
        row = _at(rule, t)
        trailing = current.shape[1:] if shared else current.shape[2:]
        if shared:
            current = (row @ own[0]).reshape(size, *trailing)
        else:
            current = np.einsum("sn,snr->sr", row, own).reshape(size, *trailing)
        current = np.maximum(current, 0)
        drawn.append(t)
    return drawn, current


def _at(rule: ScaleRule, t: Floats) -> Floats:
    """Rows that turn masses at the nodes into a density at t, up to a factor by draw."""
    if not rule.panels:
        return np.ones((len(t), 1))
    row = rule.interpolator(rule.axis.x(t)) / rule.weights
    if rule.axis.atom == 0:
        return row
    at_atom = t <= rule.axis.lower
    row[at_atom] = 0
    return np.column_stack([at_atom.astype(float), row])


def _draw_spreads(tensor: Tensor, size: int, rng: np.random.Generator) -> tuple[dict[str, Floats], list[Floats]]:
    """Draw the typical tau and the spread, then every stratum's tau: as steps of a standard normal, weighted."""
    spreads, by_tau = tensor.spreads, tensor.by_tau
    assert spreads is not None
    (typical, spread), _ = _chain(spreads.pair_mass(by_tau), (spreads.typical, spreads.spread), size, rng)
    weights = [spreads.weights_at(a, typical, spread) for a in range(len(tensor.taus))]
    step = np.linspace(-FAR, FAR, STEPS)
    current, drawn = np.broadcast_to(by_tau, (size, *by_tau.shape)), []
    for a, rule in enumerate(tensor.taus):
        ahead = current
        for later in range(len(tensor.taus) - 1, a, -1):
            ahead = np.einsum("s...n,sn->s...", ahead, weights[later])
        t = typical[:, None] * np.exp(spread[:, None] * step)
        table = rule.interpolator(rule.axis.x(np.minimum(t, 1e12).ravel())).reshape(size, STEPS, -1)
        density = np.maximum(np.einsum("sen,sn->se", table, ahead), 0) * np.exp(-0.5 * step**2)
        chosen = typical * np.exp(spread * _invert(step, density, rng.random(size)))
        drawn.append(chosen)
        row = rule.interpolator(rule.axis.x(np.minimum(chosen, 1e12)))
        current = np.einsum("sn,sn...->s...", row, current)
    return {"tau_typical": typical, "spread": spread}, drawn


def _invert(x: Floats, density: Floats, uniform: Floats) -> Floats:
    """Draw from densities given at even points, straight between them."""
    pieces = (density[:, 1:] + density[:, :-1]) / 2
    cumulative = np.cumsum(pieces, axis=1)
    target = uniform * cumulative[:, -1]
    i = np.minimum((cumulative < target[:, None]).sum(1), pieces.shape[1] - 1)
    row = np.arange(len(uniform))
    left, right = density[row, i], density[row, i + 1]
    share = np.clip((target - cumulative[row, i] + pieces[row, i]) / np.maximum(pieces[row, i], 1e-300), 0, 1)
    # Solve left u + (right - left) u^2 / 2 = share (left + right) / 2 for u in [0, 1].
    slope = right - left
    root = np.sqrt(np.maximum(left**2 + slope * share * (left + right), 0))
    u = share * (left + right) / np.maximum(left + root, 1e-300)
    return np.asarray(x[i] + np.clip(u, 0, 1) * (x[1] - x[0]))


def _given_taus(tensor: Tensor, taus: list[Floats]) -> Floats:
    """Posterior mass of the other standard deviations at drawn taus, shape (draw, ...)."""
    likelihood = np.exp(special.logsumexp(tensor.log_likelihood, axis=1) - tensor.log_likelihood.max())
    rules = tensor.rules[len(taus) :]
    current = likelihood.reshape(tensor.shape)
    for i, (rule, t) in enumerate(zip(tensor.taus, taus, strict=True)):
        row = rule.interpolator(rule.axis.x(t))
        current = np.tensordot(row, current, axes=(1, 0)) if i == 0 else np.einsum("sn,sn...->s...", row, current)
    current = np.maximum(current, 0)
    for a, rule in enumerate(rules):
        mass = np.exp(rule.log_mass).reshape([-1 if b == a else 1 for b in range(len(rules))])
        current = current * mass
    return current


def _draw_coefficients(tensor: Tensor, scales: dict[str, Floats], rng: np.random.Generator) -> dict[str, Floats]:
    """Draw the coefficients given the standard deviations, exactly."""
    design, system = tensor.design, tensor.system
    own = []
    for s in range(len(design.strata)):
        table = tabulate(design.rows.of(s), scales["tau"][:, s], scales.get("tau_within"))
        own.append(system.lift(s, link(table, scales["omega"]) if "omega" in scales else table))
    joint = Table(sum(t.constant for t in own), sum(t.vector for t in own), sum(t.information for t in own))  # type: ignore[arg-type]
    found = condition(joint, system.prior)
    size, row = len(joint), np.arange(len(joint))
    weight = np.exp(found.log_evidence - found.log_evidence.max(1, keepdims=True))
    cumulative = np.cumsum(weight, 1)
    part = (cumulative < rng.random(size)[:, None] * cumulative[:, -1:]).sum(1)
    mean, root = found.mean[row, part], np.linalg.cholesky(found.covariance[row, part])
    value = mean + np.einsum("npq,nq->np", root, rng.standard_normal(mean.shape))
    biases, slopes = len(design.bias), len(design.beta)
    means = value.shape[1] - biases - slopes
    values = {"mu": value[:, :means] if design.mean == "independent" else value[:, 0]}
    if biases:
        values["bias"] = value[:, means : means + biases]
    if slopes:
        values["beta"] = value[:, means + biases :]
    return values
