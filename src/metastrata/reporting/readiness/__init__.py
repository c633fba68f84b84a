"""What a run of a plan will do, and everything it would refuse, found before anything is fitted.

`metastrata check` prints it and `run` requires it: one rule for both. Neither PyMC nor pandas is loaded.

found            what a section found: lines and faults
models           the model of each endpoint, and of each alternative, against the effects
together         [endpoints_together]
visits           [visits]
natural_course   [natural_course]
events           [events] and [endpoints.NAME.absolute]
whole            all of it, the plan of [safety] included
"""

from metastrata.reporting.readiness.whole import Readiness, readiness, require_ready

__all__ = ["Readiness", "readiness", "require_ready"]
