"""The coefficients of a course: which there are, and what each mean is the sum of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metastrata.errors import ModelError, unknown
from metastrata.inference.courses.visits import Floats, Visits
from metastrata.model.course import Course
from metastrata.model.priors import Prior


@dataclass(frozen=True)
class Layout:
    """The coefficients and the independent sources they are made of.

    Attributes
    ----------
    names, sources : tuple of str
    center : ndarray, shape (coefficient,)
    fixed : mapping
        From coefficient to its sources of known SD.
    course : tuple of str
        The coefficients of the course, in order of time; one less than time points for a random walk.
    levels : tuple of tuple of str
        For each stratum the coefficients its level is the sum of.
    overall_level : tuple of str
    times : int
    """

    names: tuple[str, ...]
    sources: tuple[str, ...]
    center: Floats
    fixed: Mapping[str, Mapping[str, float]]
    course: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    overall_level: tuple[str, ...]
    times: int

    def _vector(self, level: tuple[str, ...], t: int) -> Floats:
        skipped = self.times - len(self.course)
        used = [*level, *([self.course[t - skipped]] if t >= skipped else [])]
        return np.array([float(name in used) for name in self.names])

    def at(self, stratum: int, t: int) -> Floats:
        """The sum of coefficients that is the mean of a stratum at a time point."""
        return self._vector(self.levels[stratum], t)

    def overall(self, t: int) -> Floats:
        """The same for the overall mean."""
        return self._vector(self.overall_level, t)


def layout_of(model: Course, mean: str, visits: Visits) -> Layout:
    """Name the coefficients: the level, what strata add to it, the course."""
    if mean == "biased" and model.reference not in visits.strata:
        raise ModelError(unknown("reference", str(model.reference), visits.strata))
    mu, strata = model.value("mu"), visits.strata
    assert isinstance(mu, Prior)
    skip = model.path == "random_walk"
    course = tuple(f"course[{m:g}]" for m in visits.months[skip:])
    own = tuple(f"level[{s}]" for s in strata)
    shifts = {"common": (), "biased": tuple(n for n, s in zip(own, strata, strict=True) if s != model.reference)}
    extra = shifts.get(mean, own)
    whole = () if model.path == "separate" or mean == "independent" else ("mu",)
    names = (*whole, *extra, *course)
    center, fixed = {}, {}
    for name in names:
        prior = None
        if name == "mu" or (mean == "independent" and name in own) or (model.path == "separate" and name in course):
            prior = mu
        elif mean == "biased" and name in own:
            prior = model.bias(name[6:-1])
        center[name] = 0.0 if prior is None else prior.parameters[0]
        fixed[name] = {} if prior is None else {name: prior.parameters[1]}
    levels = tuple((*whole, *((name,) if name in extra else ())) for name in own)
    return Layout(names, names, np.array([center[n] for n in names]), fixed, course, levels, whole, len(visits.months))
