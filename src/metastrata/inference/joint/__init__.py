"""Joint models: several related effects per study, normal given a few standard deviations and correlations.

One noun, `Joint`, for correlated endpoints, offsets of designs, natural course and visits; one deterministic engine.
"""

from metastrata.inference.joint.draws import Simulated, draw_joint, simulate
from metastrata.inference.joint.fit import JointFit, fit_joint
from metastrata.inference.joint.posterior import JointPosterior, solve_joint
from metastrata.inference.joint.problem import Combination, Joint, PartialCorrelation, Phi, Scalar, correlations

__all__ = [
           "Combination",
           "Joint",
           "JointFit",
           "JointPosterior",
           "PartialCorrelation",
           "Phi",
           "Scalar",
           "Simulated",
           "correlations",
           "draw_joint",
           "fit_joint",
           "simulate",
           "solve_joint",
]  # fmt: skip
