"""Course x Effects -> a joint model: one block a study, one slot a visit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np

from metastrata.errors import ModelError
from metastrata.evidence.effects import Effects
from metastrata.inference.courses.layout import Layout, layout_of
from metastrata.inference.courses.visits import Floats, Visits, arrange_visits, known_covariance
from metastrata.inference.joint import Combination, Joint, Phi, Scalar
from metastrata.model.course import Course
from metastrata.model.priors import Prior

Get = Callable[[str], Any]
CLOSEST = 1e-6  # of an uncertain rho to 1: nearer, the matrix of the errors is singular in floating point


def course_problem(model: Course, effects: Effects) -> Joint:
    """The joint model of visits.

    Its combinations: ``mu[t]`` (a common or overall course) and ``mu_stratum[s, t]``, ``theta_new[t]`` or
    ``theta_new[s, t]`` (a new study), ``change[t]`` (since the first time point), ``contrast[a - b]`` (shift between
    designs); t in months. Slots are "visit 1", "visit 2" and so on of each study.

    Raises
    ------
    ModelError
        If the effects do not suit the model: see `arrange_visits`; covariances that are stated twice, missing, or
        between studies; a correlation that makes the errors of a study impossible; an unknown reference.
    """
    return _Builder(model, arrange_visits(effects)).problem()


@dataclass(frozen=True)
class _Builder:
    """What the parts of the problem share."""

    model: Course
    visits: Visits

    @cached_property
    def mean(self) -> str:
        """How levels are related: one stratum has one level."""
        return "common" if len(self.visits.strata) == 1 and self.model.mean != "biased" else self.model.mean

    @cached_property
    def clock(self) -> Floats:
        """The time points in the model's unit of time."""
        months = np.array(self.visits.months)
        return months if self.model.clock == "months" else np.arange(len(months), dtype=float)

    @cached_property
    def own_clock(self) -> Floats:
        """The same for each visit, shape (study, visit)."""
        return self.clock[self.visits.place]

    def scalars(self) -> tuple[Scalar, ...]:
        idle = {"mu", "bias"} | (set() if self.mean == "exchangeable" else {"omega"})
        named = [(name, self.model.value(name)) for name in self.model.parameters if name not in idle]
        return tuple(Scalar(name, value) for name, value in named if isinstance(value, Prior))

    def problem(self) -> Joint:
        """Everything put together."""
        visits = self.visits
        layout = layout_of(self.model, self.mean, visits)
        x = np.zeros((*visits.place.shape, len(layout.names)))
        for s in range(len(visits.strata)):
            for t in range(len(visits.months)):
                x[(visits.stratum[:, None] == s) & (visits.place == t)] = layout.at(s, t)
        return Joint(
            studies=visits.studies,
            slots=tuple(f"visit {i + 1}" for i in range(visits.place.shape[1])),
            y=visits.spread(visits.effects.y),
            there=visits.there,
            x=x,
            sampling=self.sampling(),
            between=self.between,
            scalars=self.scalars(),
            coefficients=layout.names,
            center=layout.center,
            factor=lambda phi, xp: self.factor(layout, phi, xp),
            combinations=self.combinations(layout),
            dims=self.dims(),
        )

    def dims(self) -> dict[str, tuple[str, ...]]:
        """What the labels of each quantity run over."""
        new = ("month",) if self.mean == "common" else ("stratum", "month")
        return {"mu": ("month",), "mu_stratum": ("stratum", "month"), "theta_new": new, "change": ("later_month",)}

    # What is normal given the scalars.

    def between(self, phi: Phi, xp: Any) -> list[list[Any]]:
        """Covariance of a study's true effects: tau^2, and its own course over time."""
        size = self.visits.place.shape[1]
        get = _getter(self.model, phi, over_studies=True)
        return [[get("tau") ** 2 + self._own(get, i, j, xp) for j in range(size)] for i in range(size)]

    def _own(self, get: Get, i: int, j: int, xp: Any) -> Any:
        first, second = self.own_clock[:, i], self.own_clock[:, j]
        if self.model.deviations == "constant":
            return np.zeros(len(first))
        if self.model.deviations == "random_walk":
            return get("tau_time") ** 2 * (np.minimum(first, second) - self.clock[0])
        return get("tau_time") ** 2 * _power(get("phi"), np.abs(first - second), xp)

    def factor(self, layout: Layout, phi: Phi, xp: Any) -> list[list[Any]]:
        """The coefficients' factor: levels from the overall level and omega, the course from its steps."""
        get = _getter(self.model, phi)
        rows: list[list[Any]] = [[0.0] * len(layout.sources) for _ in layout.names]
        for i, name in enumerate(layout.names):
            for source, sd in layout.fixed.get(name, {}).items():
                rows[i][layout.sources.index(source)] = sd
        if self.mean == "exchangeable":
            for name in layout.names:
                if name.startswith("level["):
                    rows[layout.names.index(name)][layout.sources.index(name)] = get("omega")
        self._course_rows(rows, layout, get, xp)
        return rows

    def _course_rows(self, rows: list[list[Any]], layout: Layout, get: Get, xp: Any) -> None:
        """Each row of the course from the one before: a random walk adds a step, an autoregression forgets a part."""
        if self.model.path == "separate":
            return
        walk = self.model.path == "random_walk"
        gaps = np.diff(self.clock, prepend=[] if walk else self.clock[:1])
        before: list[Any] = [0.0] * len(layout.sources)
        for i, (name, gap) in enumerate(zip(layout.course, gaps, strict=True)):
            row = layout.names.index(name)
            if walk:
                rows[row], sd = list(before), get("step") * float(np.sqrt(gap))
            else:
                kept = 0.0 if i == 0 else _power(get("phi_course"), float(gap), xp)
                rows[row], sd = [kept * value for value in before], get("sd_course") * xp.sqrt(1 - kept * kept)
            rows[row][layout.sources.index(name)] = sd
            before = rows[row]

    # The errors.

    def sampling(self) -> Any:
        """Sampling covariance of the visits of each study: known, or a rule if rho has a prior."""
        if self.model.correlation == "known":
            return known_covariance(self.visits)
        if self.visits.effects.covariances:
            raise ModelError("the effects carry covariances, and the model says how errors correlate over time: choose "
                             "correlation = 'known', or leave the covariances out")  # fmt: skip
        rho, se = self.model.value("rho"), self.visits.spread(self.visits.effects.se)
        size = se.shape[1]
        if not isinstance(rho, Prior):
            self._possible(rho)
            matrices = [[se[:, i] * se[:, j] * self._kept(rho, i, j, np) for j in range(size)] for i in range(size)]
            return np.moveaxis(np.array(matrices), 2, 0)
        self._possible(rho.limits[0])
        slots = range(size)

        def entries(phi: Phi, xp: Any) -> list[list[Any]]:
            kept = 1 - xp.maximum(1 - phi["rho"][..., None], CLOSEST)
            return [[se[:, i] * se[:, j] * self._kept(kept, i, j, xp) for j in slots] for i in slots]

        return entries

    def _kept(self, rho: Any, i: int, j: int, xp: Any) -> Any:
        """The correlation of the errors of two visits."""
        if i == j:
            return np.ones(len(self.own_clock))
        if self.model.correlation == "constant":
            return rho * np.ones(len(self.own_clock))
        return _power(rho, np.abs(self.own_clock[:, i] - self.own_clock[:, j]), xp)

    def _possible(self, rho: float) -> None:
        """Refuse a constant correlation that so many visits cannot have."""
        most = int(self.visits.there.sum(axis=1).max())
        lowest = -1 / (most - 1) if most > 1 else -1.0
        if self.model.correlation == "constant" and rho <= lowest:
            who = self.visits.studies[int(self.visits.there.sum(axis=1).argmax())]
            raise ModelError(f"rho may be {rho:g}, but {who} has {most} visits, and any two of them cannot have a "
                             f"correlation of {lowest:.3g} or less: the matrix is not positive definite")  # fmt: skip

    # What is reported.

    def combinations(self, layout: Layout) -> tuple[Combination, ...]:
        """Means by time and stratum, new studies, changes since the first time point, shifts between designs."""
        names, months = self.visits.strata, [f"{m:g}" for m in self.visits.months]
        strata, found = list(enumerate(names)), []
        own = strata if self.mean != "common" else []
        for t, month in enumerate(months):
            if self.mean != "independent":
                found.append(Combination(f"mu[{month}]", layout.overall(t)))
            found += [Combination(f"mu_stratum[{name}, {month}]", layout.at(s, t)) for s, name in own]
            new = [(f"{name}, {month}", s) for s, name in own] or [(month, 0)]
            found += [Combination(f"theta_new[{label}]", layout.at(s, t), self._new(t)) for label, s in new]
        first = layout.at(0, 0)
        found += [Combination(f"change[{month}]", layout.at(0, t) - first) for t, month in enumerate(months) if t]
        for (a, one), (b, other) in combinations(own, 2):
            found.append(Combination(f"contrast[{one} - {other}]", layout.at(a, 0) - layout.at(b, 0)))
        return tuple(found)

    def _new(self, t: int) -> Callable[[Phi, Any], Any]:
        """Variance of a new study's true effect about the mean at a time point."""
        since = float(self.clock[t] - self.clock[0])

        def variance(phi: Phi, xp: Any) -> Any:
            get = _getter(self.model, phi)
            own = {"constant": 0.0, "autoregressive": 1.0, "random_walk": since}[self.model.deviations]
            return get("tau") ** 2 + (own * get("tau_time") ** 2 if own else 0.0)

        return variance


def _getter(model: Course, phi: Phi, *, over_studies: bool = False) -> Get:
    """The value of a parameter: as it is fixed, or from phi."""

    def get(name: str) -> Any:
        if name in phi:
            return phi[name][..., None] if over_studies else phi[name]
        value = model.value(name)
        assert isinstance(value, float)
        return value

    return get


def _power(base: Any, exponent: Any, xp: Any) -> Any:
    """``base ** exponent`` for a correlation, which may be 0; 1 where no time is between."""
    if isinstance(base, float):
        return base ** np.asarray(exponent, float)
    return xp.exp(exponent * xp.log(xp.maximum(base, 1e-300)))
