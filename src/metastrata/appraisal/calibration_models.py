"""The models that calibration by simulation tries: every member of the family, on few studies."""

from __future__ import annotations

from collections.abc import Sequence

from metastrata.appraisal.calibration import Scenario
from metastrata.appraisal.calibration_forms import form_scenarios
from metastrata.model.model import Model


def _normal() -> tuple[Scenario, ...]:
    tau, omega = "half_normal(0.4)", "half_normal(0.4)"
    one = (("rct", (0.15, 0.3, 0.2, 0.25, 0.4)),)
    two = (("rct", (0.15, 0.3, 0.2, 0.25)), ("self_controlled", (0.2, 0.1, 0.3)))
    three = (*two, ("cohort", (0.25,)))
    plain = {"mu": "normal(0, 1)", "tau": tau}
    linked = {**plain, "omega": omega}
    return (
        Scenario("one stratum", Model("common", "common", plain), one),
        Scenario("common mean, a tau each", Model("common", "independent", plain), two),
        Scenario("common mean, common tau", Model("common", "common", plain), two),
        Scenario("exchangeable means, a tau each", Model("exchangeable", "independent", linked), two),
        Scenario("exchangeable means, a tau each, one of three strata with one study",
                 Model("exchangeable", "independent", linked), three),
        Scenario("exchangeable means, common tau", Model("exchangeable", "common", linked), two),
        Scenario("biased means, a tau each", Model("biased", "independent", {**plain, "bias": "normal(0, 0.3)"},
                                                   reference="rct"), two),
        Scenario("independent means, a tau each", Model("independent", "independent", plain), two),
        Scenario("independent means, common tau", Model("independent", "common", plain), two),
        Scenario("exchangeable taus", Model("common", "exchangeable", {**plain, "spread": "half_normal(0.4)"}), two),
        Scenario("a moderator",
                 Model("exchangeable", "common", {**linked, "beta": "normal(0, 0.3)"}, moderators="dose"),
                 two, {"dose": (-1.0, 0.0, 0.5, 1.0, -0.5, 0.0, 1.5)}),
        Scenario("effects nested in studies",
                 Model("common", "common", {**plain, "tau_within": "half_normal(0.3)"}, nested="site"), one,
                 {"site": ("a", "a", "b", "c", "c")}),
        Scenario("Student-t study effects", Model("common", "common", plain, study_effects="student_t(4)"), one),
    )  # fmt: skip


def scenarios() -> Sequence[Scenario]:
    """Every model of the family, on few studies: a new model is one line more."""
    return (*_normal(), *form_scenarios())
