"""Figures: the numbers behind each first, drawing second.

Each figure is a pair: ``..._table`` gives the numbers as a frame, ``plot_...`` draws them; `save` writes a figure.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
