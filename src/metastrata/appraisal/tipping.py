"""Tipping points: the smallest change of an assumption that turns a stated conclusion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from metastrata.appraisal.assumptions import derived_at, r_of
from metastrata.appraisal.knobs import Knob, knobs
from metastrata.appraisal.posteriors import of_fit
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.inference.fit import Fit
from metastrata.model.conclusions import Conclusion, conclusion

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    *(
        "endpoint",
        "conclusion",
        "probability",
        "stands",
        "assumption",
        "present",
        "now",
        "tips_at",
        "written",
        "searched",
    ),
    *("status", "says"),
]
NAN = float("nan")


def tipping_points(
    fit: Fit,
    conclusions: Sequence[str | Conclusion],
    *,
    effects_at: Callable[[float], Effects] | None = None,
    r: float | None = None,
    reference: str | None = None,
) -> pd.DataFrame:
    """How far each assumption must move before a conclusion turns, one assumption at a time.

    Parameters
    ----------
    fit : Fit
    conclusions : sequence of str
        Such as ``"P(mu_stratum[rct] < -0.5) > 0.8"`` or ``"P(benefit[rct]) > 0.95"``.
    effects_at : callable, optional
        The effects of this endpoint at a pre-post correlation, as for `sweep_r`; by default they are derived again
        from their table.
    r : float, optional
        The correlation in use, by default that of the effects.
    reference : str, optional
        The stratum without bias and with full weight; by default "rct", or the first.

    Returns
    -------
    DataFrame
        ``endpoint conclusion probability stands assumption present now tips_at written searched status says``: a row
        for each conclusion and assumption. `present` is the value in the analysis and `now` the same as a reader writes
        it (empty where the analysis has a distribution instead of a value). `tips_at` is the value nearest to it at
        which the conclusion turns (NaN if it does not within `searched`), `written` the same as a prior or a number,
        `says` the row as a sentence.

    Notes
    -----
    Each assumption is scanned on both sides, and the first change of verdict is refined by Brent's method on the
    exact engine. A turn and turn back between two neighbouring values of the scan is not seen.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.1], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> table = ms.tipping_points(ms.fit(model, effects, engine="exact", draws=100), ["P(benefit) > 0.95"])
    >>> table[["assumption", "written"]].values.tolist()[0]
    ['scale of the prior of mu', 'normal(0, 0.232)']
    """
    import pandas as pd

    stated = [conclusion(text) for text in conclusions]
    if (r is None) != (effects_at is None):
        raise InputError("r and effects_at go together: the correlation in use, and how the effects follow from it")
    if r is None and (r := r_of(fit)) is not None:
        effects_at = derived_at(fit)
    main, direction = of_fit(fit).marginals, fit.effects.direction
    now = [(item, item.probability(main, direction)) for item in stated]
    rows = []
    for knob in knobs(fit, effects_at, r, reference):
        for item, probability in now:
            rows.append([fit.endpoint, str(item), probability, item.margin(probability) > 0,
                         knob.name, *_tip(knob, item, direction)])  # fmt: skip
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {str(item): i for i, item in enumerate(stated)}
    return table.sort_values("conclusion", key=lambda c: c.map(order), kind="stable").reset_index(drop=True)


def _tip(knob: Knob, item: Conclusion, direction: str | None) -> list[Any]:
    """Present value, tipping point, how it is written, the range searched, status, and the sentence."""
    from metastrata.inference.exact import IntegrationError

    low = min((knob.start, *knob.below, *knob.above))
    high = max((knob.start, *knob.below, *knob.above))
    searched = f"{knob.written(low)} to {knob.written(high)}"
    present = [NAN, ""] if knob.present is None else [knob.present, knob.written(knob.present)]
    try:
        turns = [_first_turn(knob, side, item, direction) for side in (knob.below, knob.above)]
        stands = item.margin(item.probability(knob.at(knob.start), direction)) > 0
    except IntegrationError as error:
        return [*present, NAN, "", searched, f"not computed: {error}", ""]
    verb = "stands" if stands else "does not stand"
    found = [turn for turn in turns if turn is not None]
    if not found:
        says = f"{item} {verb} for every value of the {knob.name} from {searched}."
        return [*present, NAN, "", searched, "reliable", says]
    nearest = min(found, key=lambda turn: _distance(knob, turn))
    text = knob.written(nearest)
    at = f"now {knob.written(knob.start)}" if knob.present is not None else f"it {verb} at {knob.written(knob.start)}"
    says = f"{item} {verb}; it turns at {knob.name} {text} ({at})."
    if knob.present is None:
        says = f"{item} turns at {knob.name} {text} ({at})."
    return [*present, nearest, text, searched, "reliable", says]


def _distance(knob: Knob, value: float) -> float:
    """Distance from the start: in ratio for what is searched by ratios, else plain."""
    import math

    if min((knob.start, *knob.above, *knob.below)) >= 0 and knob.start > 0 and knob.present != 0:
        return abs(math.log(value / knob.start)) if value > 0 else math.inf
    return abs(value - knob.start)


def _first_turn(knob: Knob, side: Sequence[float], item: Conclusion, direction: str | None) -> float | None:
    """The value on one side, nearest to the start, at which the verdict changes."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    def margin(value: float) -> float:
        """On the probit scale, where a mean moves the probability in a nearly straight line."""
        p = min(max(item.probability(knob.at(value), direction), 1e-12), 1 - 1e-12)
        by = float(ndtri(p) - ndtri(item.level))
        return by if item.passes == ">" else -by

    last = knob.start
    stands = margin(last) > 0
    for value in side:
        if (margin(value) > 0) != stands:
            scale = max(abs(value), abs(last))
            return float(brentq(margin, last, value, xtol=1e-3 * scale, rtol=1e-3))
        last = value
    return None
