"""Visits: the course of an effect over time as a joint model."""

from metastrata.inference.courses.problem import course_problem
from metastrata.inference.courses.visits import Visits, arrange_visits

__all__ = ["Visits", "arrange_visits", "course_problem"]
