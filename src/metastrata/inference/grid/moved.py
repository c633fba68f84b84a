"""The same likelihood somewhere else: how a posterior follows a study whose result is another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metastrata.inference.grid.likelihoods import Likelihood
from metastrata.inference.grid.parts import Parts

if TYPE_CHECKING:
    from metastrata.inference.design import Design


@dataclass(frozen=True, eq=False)
class Moved:
    """A likelihood of ``theta - by``."""

    own: Likelihood
    by: float

    @property
    def y(self) -> float:
        """Centre of the normal that resembles it."""
        return self.own.y + self.by

    @property
    def se(self) -> float:
        """SD of the normal that resembles it."""
        return self.own.se

    @property
    def name(self) -> str:
        """What it is, in words."""
        return self.own.name

    @property
    def shared(self) -> bool:
        """Whether a shared correlation is part of it."""
        return bool(getattr(self.own, "shared", False))

    def parts(self, level: int, r: float | None = None) -> Parts:
        """The likelihood as normals."""
        found = self.own.parts(level, r)
        return replace(found, mean=found.mean + self.by)


def moved(design: Design, which: NDArray[np.bool_], by: float) -> Design:
    """A design in which some studies, shape (study,), say the same of an effect that lies elsewhere."""
    form = design.form
    if form is not None:
        likelihoods = tuple(Moved(own, by) if move else own for own, move in zip(form.likelihoods, which, strict=True))
        form = replace(form, likelihoods=likelihoods)
    return replace(design, y=design.y + by * which, form=form)
