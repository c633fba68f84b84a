"""What the tests of figures share: quick fits, and whether texts are cut off or lie on each other."""

from __future__ import annotations

from typing import Any

import numpy as np

import metastrata as ms

PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


def fitted(effects: ms.Effects, mean: str = "exchangeable", **priors: str) -> ms.Fit:
    chosen = {**PRIORS, **priors}
    if mean != "exchangeable":
        del chosen["omega"]
    return ms.fit(ms.Model(mean=mean, priors=chosen), effects, engine="exact", draws=400, chains=2, seed=1)


def made(sizes: dict[str, int], scale: float = 1.0, names: str = "Study {}") -> ms.Effects:
    """Effects with known numbers: a slowly rising series in each stratum, standard errors from 0.1 to 0.5."""
    y, se, stratum = [], [], []
    for s, (name, k) in enumerate(sizes.items()):
        for i in range(k):
            y.append(scale * (-0.4 + 0.1 * s + 0.3 * np.sin(1.7 * i + s)))
            se.append(scale * (0.1 + 0.4 * ((3 * i + s) % 7) / 6))
            stratum.append(name)
    study = [names.format(i + 1) for i in range(len(y))]
    return ms.Effects.from_estimates(y, se, study, stratum, better="lower")


def texts(figure: Any) -> list[str]:
    """Every text of a figure."""
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def outside(figure: Any) -> list[str]:
    """Texts cut off at the edge of the figure."""
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    found = []
    for text in _all_texts(figure):
        box = text.get_window_extent(renderer)
        if box.x0 < -1 or box.x1 > width + 1 or box.y0 < -1 or box.y1 > height + 1:
            found.append(text.get_text())
    return found


def overlapping(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other."""
    renderer = figure.canvas.get_renderer()
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in _all_texts(figure) if not t.get_rotation()]
    return [
        (a, b)
        for i, (a, p) in enumerate(boxes)
        for b, q in boxes[i + 1 :]
        if min(p.x1, q.x1) - max(p.x0, q.x0) > 1.5 and min(p.y1, q.y1) - max(p.y0, q.y0) > 2.5
    ]


def _all_texts(figure: Any) -> list[Any]:
    """Every text that is drawn; matplotlib keeps labels of ticks beyond the limits, which are not."""
    import matplotlib.text

    figure.canvas.draw()
    ticks = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    written = {tick.label1 for axis in ticks if axis.axes.axison for tick in axis._update_ticks()}
    labels = {tick.label1 for axis in ticks for tick in [*axis.majorTicks, *axis.minorTicks]}
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_visible() and t.get_text().strip()]
    return [t for t in texts if t not in labels or t in written]
