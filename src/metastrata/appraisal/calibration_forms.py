"""The models with other likelihoods and study effects that calibration by simulation tries: tables drawn row by row.

Weights of strata are not among them: a likelihood raised to a power is not one of any data, so that there is nothing to
simulate. They are tested against plain tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import special

from metastrata.appraisal.calibration import Scenario
from metastrata.inference.design import Design, arrange
from metastrata.model.model import Model
from metastrata.model.priors import prior

Floats = NDArray[np.float64]
Rows = Callable[[Floats, Mapping[str, float], np.random.Generator], list[dict[str, Any]]]

ARMS = ((12, 11), (9, 14), (30, 28), (20, 22))
PATIENTS = (9, 14, 25)
BASELINE = "normal(-1, 0.7)"


@dataclass(frozen=True)
class TableScenario(Scenario):
    """A model and how a table of studies is drawn.

    Attributes
    ----------
    rows : callable
        From study effects, correlations by study, and a generator, to the rows of the table.
    measure : str
    """

    rows: Rows = lambda theta, r, rng: []
    measure: str = "SMD"

    @cached_property
    def _blank(self) -> Design:
        count = len(self.rows(np.zeros(100), {}, np.random.default_rng(0)))
        return self._design(self.rows(np.zeros(count), {}, np.random.default_rng(0)))

    def _design(self, rows: list[dict[str, Any]]) -> Design:
        from metastrata.evidence.effects import effect_sizes

        return arrange(self.model, effect_sizes(pd.DataFrame(rows), self.measure, r=0.5))

    def design(self, y: Floats | None = None) -> Design:
        """A design of this kind, whatever its data."""
        return self._blank

    def simulated(self, truth: xr.Dataset, rng: np.random.Generator) -> Design:
        """The design with a table drawn given the truth."""
        r = truth["r"].values[0, 0] if "r" in truth else np.zeros(0)
        names = truth["study_r"].values if "study_r" in truth.coords else [f"e{i}" for i in range(len(PATIENTS))]
        own = dict(zip(names, np.broadcast_to(r, len(names)).tolist(), strict=True)) if "r" in truth else {}
        return self._design(self.rows(truth["theta"].values[0, 0], own, rng))


def trials(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Trials with means and SDs of two arms, in units of the true SD."""
    rows = []
    for i, (n, m) in enumerate(ARMS):
        sd = float(np.sqrt(rng.chisquare(n + m - 2) / (n + m - 2)))
        gap = float(theta[i] + np.sqrt(1 / n + 1 / m) * rng.standard_normal())
        rows.append({"study": f"t{i}", "design": "rct", "endpoint": "x", "n_treated": n, "mean_treated": 5 + gap,
                     "sd_treated": sd, "n_control": m, "mean_control": 5.0, "sd_control": sd})  # fmt: skip
    return rows


def before_after(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Before/after studies that do not print their correlation, both SDs being 1 in truth."""
    rows = []
    for i, n in enumerate(PATIENTS):
        sd = float(np.sqrt(rng.chisquare(n - 1) / (n - 1)))
        change = float(theta[i] + np.sqrt(2 * (1 - r.get(f"e{i}", 0.5)) / n) * rng.standard_normal())
        rows.append({"study": f"e{i}", "design": "self_controlled", "endpoint": "x", "n": n, "mean_before": 5.0,
                     "sd_before": sd, "mean_after": 5 + change, "sd_after": sd})  # fmt: skip
    return rows


def both(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Trials, and before/after studies."""
    return trials(theta, r, rng) + before_after(theta[len(ARMS) :], r, rng)


def counts(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Events in two arms, the control arm's log odds drawn from the prior of the baseline."""
    rows, base = [], prior(BASELINE)
    for i, (n, m) in enumerate(ARMS):
        b = float(base.sample(rng, (1,))[0])
        events = rng.binomial([n, m], special.expit([b + theta[i], b]))
        rows.append({"study": f"t{i}", "design": "rct", "endpoint": "x", "events_treated": int(events[0]),
                     "n_treated": n, "events_control": int(events[1]), "n_control": m})  # fmt: skip
    return rows


def times(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Events in two arms over person-time, the control arm's log rate drawn from the prior of the baseline."""
    rows, base = [], prior(BASELINE)
    for i, (t, u) in enumerate(ARMS):
        b = float(base.sample(rng, (1,))[0])
        events = rng.poisson([t * np.exp(b + theta[i]), u * np.exp(b)])
        rows.append({"study": f"t{i}", "design": "rct", "endpoint": "x", "events_treated": int(events[0]),
                     "time_treated": t, "events_control": int(events[1]), "time_control": u})  # fmt: skip
    return rows


def single_arms(theta: Floats, r: Mapping[str, float], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Events in single arms."""
    return [
        {"study": f"s{i}", "design": "single_arm", "endpoint": "x",
         "events": int(rng.binomial(n, special.expit(theta[i]))), "n": n}
        for i, n in enumerate(PATIENTS)
    ]  # fmt: skip


def form_scenarios() -> Sequence[Scenario]:
    """Every likelihood and form of study effects, on few studies: a new one is one line more."""
    tau, se = "half_normal(0.4)", (("rct", (0.15, 0.3, 0.2, 0.25, 0.4)),)
    plain = {"mu": "normal(0, 1)", "tau": tau}
    linked = {**plain, "omega": "half_normal(0.4)"}
    unknown = {"r": "uniform(0, 0.9)"}
    exact: dict[str, Any] = {"likelihood": "exact"}
    return (
        Scenario("Student-t study effects, df one of three",
                 Model("common", "common", plain, study_effects="student_t(2, 5, 30)"), se),
        Scenario("contaminated study effects", Model("common", "common", plain, study_effects="contaminated(0.2, 4)"),
                 se),
        TableScenario("noncentral t of trials", Model("common", "common", plain, **exact), (), rows=trials),
        TableScenario("noncentral t, r of each study unknown, exchangeable means",
                      Model("exchangeable", "independent", {**linked, **unknown}, **exact), (), rows=both),
        TableScenario("noncentral t, shared r unknown, exchangeable means",
                      Model("exchangeable", "independent", {**linked, **unknown}, correlation="shared", **exact), (),
                      rows=both),
        TableScenario("noncentral t, r of each study unknown, biased means",
                      Model("biased", "independent", {**plain, **unknown, "bias": "normal(0, 0.3)"}, reference="rct",
                            **exact), (), rows=both),
        TableScenario("noncentral t, r of each study unknown, Student-t study effects and bias",
                      Model("biased", "independent", {**plain, **unknown, "bias": "student_t(4, 0, 0.3)"},
                            reference="rct", study_effects="student_t(4)", **exact), (), rows=both),
        TableScenario("binomial, baseline integrated out",
                      Model("common", "common", {**plain, "baseline": BASELINE}, **exact), (), rows=counts,
                      measure="OR"),
        TableScenario("Poisson over person-time, baseline integrated out",
                      Model("common", "common", {**plain, "baseline": BASELINE}, **exact), (), rows=times,
                      measure="IRR"),
        TableScenario("binomial, single arms", Model("common", "common", plain, **exact), (), rows=single_arms,
                      measure="PLO"),
    )  # fmt: skip
