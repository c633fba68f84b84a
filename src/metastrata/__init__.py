"""Bayesian meta-analysis that keeps study designs in strata.

The public names stand in ``__init__.pyi`` in the order of an analysis; each room is loaded when it is first used, so
that ``import metastrata`` loads neither PyMC nor matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
