"""From a problem to its solution at each level of resolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.bumps import Bumps, place
from metastrata.inference.components import IntegrationError, Solution, mean_bounds
from metastrata.inference.grid.biases import bias, shifted
from metastrata.inference.grid.contrasts import apart, joined, pooling
from metastrata.inference.grid.draws import draw_apart, draw_tree
from metastrata.inference.grid.look import Look, look
from metastrata.inference.grid.problem import Problem
from metastrata.inference.grid.tree import Apart, Tree
from metastrata.inference.survey import STEPS

Floats = NDArray[np.float64]

PAD = 20


def linked(problem: Problem) -> Callable[[int], Solution]:
    """Strata joined through mu."""
    found = look(problem)

    def solve(level: int) -> Solution:
        tree = _tree(found, level)
        return Solution(
            tree.log_evidence,
            tree.mu,
            tree.omega,
            tree.strata,
            (lambda a, b: shifted(tree, a, b)) if problem.shifts else lambda a, b: joined(tree, a, b),
            None if problem.shifts else lambda a, b: pooling(tree, a, b),
            lambda size, rng: draw_tree(tree, size, rng),
            tree.inconsistency,
            tree.outer.r(tree.outer_mass),
            {f"bias[{own.name}]": partial(bias, tree, s) for s, own in enumerate(problem.biases) if own is not None},
            tree.outer.kernels(tree.outer_mass),
        )

    return solve


def _tree(found: Look, level: int) -> Tree:
    problem, (rules, between) = found.problem, found.final_rules
    rules, between = tuple(rule.refined(level) for rule in rules), between.refined(level)
    grid = _grid(found, None, level, not between.t.any())
    branches, outer = problem.branches(rules, grid.x, level), problem.outer(rules, level)
    return Tree(branches, outer, between, problem.prior, grid, problem.biases)


def separate(problem: Problem) -> Callable[[int], Solution]:
    """Strata whose means have nothing to do with each other."""
    seen = look(problem)

    def solve(level: int) -> Solution:
        found = _apart(seen, level)
        return Solution(
            found.log_evidence,
            None,
            None,
            found.strata,
            lambda a, b: apart(found, a, b),
            None,
            lambda size, rng: draw_apart(found, size, rng),
            r=found.outer.r(found.outer_mass),
            kernels=found.outer.kernels(found.outer_mass),
        )

    return solve


def _apart(found: Look, level: int) -> Apart:
    problem = found.problem
    rules = tuple(rule.refined(level) for rule in found.final_rules[0])
    grids = tuple(_grid(found, s, level, True) for s in range(len(problem.strata)))
    branches = tuple(problem.branches(rules, grid.x, level)[s] for s, grid in enumerate(grids))
    return Apart(branches, problem.outer(rules, level), problem.prior, grids)


def _grid(found: Look, s: int | None, level: int, sharp: bool) -> Bumps:
    """The final grid of one stratum, or of all; `sharp` if the ends of a uniform prior are not blurred by omega."""
    if level >= len(STEPS):
        raise IntegrationError(
            "deterministic integration does not settle on the finest grid there is: with few studies, heavy-tailed "
            "study effects or low weights the posterior of a mean may have no SD. Use priors with lighter tails"
        )
    layout, low, high = found.layout(s, level)
    prior = found.problem.prior
    bounds = None if prior is None else mean_bounds(prior)
    if bounds is None:
        return place(layout, low, high)
    if sharp:  # bumps fit poorly near the ends of their grid: go on beyond those of the prior
        low, high = np.array([low, high]) + np.array([-PAD, PAD]) * layout.spacing(np.array([low, high]))
    return place(layout, float(low), float(high), bounds)
