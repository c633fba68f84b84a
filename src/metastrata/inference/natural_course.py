"""A natural course as a joint model: three slots a study, of which it shows one or two."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metastrata.evidence.arm_changes import ArmChanges, Estimate
from metastrata.inference.components import IntegrationError
from metastrata.inference.joint import Combination, Joint, JointFit, Phi, Scalar
from metastrata.inference.joint.algebra import marginal_entries
from metastrata.model.natural_course import NaturalCourseModel, check_changes
from metastrata.model.priors import Prior

Floats = NDArray[np.float64]

SLOTS = ("treated", "course", "effect")
COEFFICIENTS = ("mu", "course", "shift")
# What each slot is made of: the change of treated patients is course plus effect.
PARTS = np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])


def natural_course_joint(model: NaturalCourseModel, changes: ArmChanges) -> Joint:
    """The joint model of a natural course.

    The slots of a study are what its treated patients change, what they would change without treatment (its control
    arm), and the effect of treatment. The first is the sum of the others; what a study does not show is told by the
    model.

    Raises
    ------
    ModelError
        If there are fewer than two studies, or no trial with a control arm before and after.
    """
    check_changes(changes)
    single = np.array([item.kind == "before_after" for item in changes.items])
    y, there, variance = _arrays(changes)
    x = np.zeros((len(changes), len(SLOTS), len(COEFFICIENTS)))
    x[:, :, :2] = PARTS
    x[:, :, 2] = np.outer(single, PARTS[:, 1])
    stretch = np.where(single, np.sqrt(model.inflation), 1.0)
    rho = model.value("rho")
    normals = [model.value(name) for name in COEFFICIENTS]
    means = np.array([p.parameters[0] if isinstance(p, Prior) else p for p in normals])
    sds = [float(p.parameters[1]) if isinstance(p, Prior) else 0.0 for p in normals]

    def parts(phi: Phi) -> tuple[Any, Any, Any]:
        """Variances of effect and course, and their covariance, over studies."""
        tau, course = phi["tau"][..., None], phi["tau_course"][..., None] * stretch
        correlation = phi["rho"][..., None] if isinstance(rho, Prior) else rho
        return tau**2, course**2, correlation * tau * course

    def between(phi: Phi, xp: Any) -> list[list[Any]]:
        effect, course, both = parts(phi)
        treated = effect + course + 2 * both
        return [[treated, course + both, effect + both], [course + both, course, both], [effect + both, both, effect]]

    scalars = [Scalar(name, model.prior(name)) for name in ("tau", "tau_course")]
    scalars += [Scalar("rho", rho)] if isinstance(rho, Prior) else []
    return Joint(
        studies=changes.studies,
        slots=SLOTS,
        y=y,
        there=there,
        x=x,
        sampling=np.einsum("gi,ij->gij", variance, np.eye(len(SLOTS))),
        between=between,
        scalars=tuple(scalars),
        coefficients=COEFFICIENTS,
        center=means,
        factor=lambda phi, xp: [[sd if i == j else 0.0 for j in range(3)] for i, sd in enumerate(sds)],
        combinations=_combinations(model),
        dims={"theta": ("study", "arm")},
    )


def _arrays(changes: ArmChanges) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Estimates, which are there, and their variances; shape (study, slot)."""
    shown: list[tuple[Estimate | None, ...]] = [(i.treated, i.control, i.effect) for i in changes.items]
    y = np.array([[np.nan if part is None else part.y for part in row] for row in shown])
    variance = np.array([[0.0 if part is None else part.se**2 for part in row] for row in shown])
    return y, np.isfinite(y), variance


def _combinations(model: NaturalCourseModel) -> tuple[Combination, ...]:
    """Means; what before/after studies show without a correction; new studies."""
    k, rho = model.inflation, model.value("rho")

    def treated(phi: Phi, xp: Any) -> Any:
        tau, course = phi["tau"], phi["tau_course"] * k**0.5
        return tau**2 + course**2 + 2 * (phi["rho"] if isinstance(rho, Prior) else rho) * tau * course

    found = [
        Combination("mu", np.array([1.0, 0, 0])),
        Combination("course", np.array([0, 1.0, 0])),
        Combination("course_before_after", np.array([0, 1.0, 1.0])),
        Combination("uncorrected", np.array([1.0, 1.0, 1.0])),
        Combination("theta_new", np.array([1.0, 0, 0]), lambda phi, xp: phi["tau"] ** 2),
        Combination("course_new", np.array([0, 1.0, 1.0]), lambda phi, xp: k * phi["tau_course"] ** 2),
        Combination("uncorrected_new", np.array([1.0, 1.0, 1.0]), treated),
    ]
    if isinstance(model.value("shift"), Prior):
        found.insert(2, Combination("shift", np.array([0, 0, 1.0])))
    return tuple(found)


def weights(fit: JointFit) -> tuple[Floats, Floats]:
    """How much each study counts in the mean effect, and in the mean course; both of shape (study,).

    The posterior mean of mu, given the standard deviations, moves by this when the effect of treatment in one study is
    larger by 1, all else equal; averaged over their posterior. What is missing to 1 in the sum is the prior's. For the
    course the same with a study's change without treatment.

    Raises
    ------
    IntegrationError
        If the fit was not integrated.
    """
    if fit.exact is None:
        raise IntegrationError("the weights of studies are read off an integrated posterior: use engine 'exact'")
    problem, solved = fit.problem, fit.exact.solved
    keep = np.argsort(solved.weight)[::-1][:2000]
    phi = {name: values[keep] for name, values in solved.phi.items()}
    entries = marginal_entries(problem, phi, len(keep))
    matrix = np.stack([np.stack(row, axis=-1) for row in entries], axis=-2)  # (node, study, slot, slot)
    x = np.where(problem.there[..., None], problem.x, 0.0)
    inverse = np.linalg.inv(matrix)
    pull = np.einsum("ncp,gip,ngij,gjq->ngcq", solved.found.covariance[keep], x, inverse, x, optimize=True)
    share = solved.weight[keep] / solved.weight[keep].sum()
    found = np.einsum("n,ngcq->gcq", share, pull)
    return found[:, 0, 0], found[:, 1, 1]
