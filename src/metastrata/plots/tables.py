"""The numbers behind a forest plot: what is drawn, row by row, before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metastrata.appraisal.summaries import summary
from metastrata.errors import InputError
from metastrata.evidence.columns import Cell
from metastrata.evidence.effects import Effect, Effects
from metastrata.inference.fit import Fit
from metastrata.inference.gaussian import posterior_weights

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["stratum", "study", "mean", "prediction", "contrast", "overall", "reference"]
Interval = tuple[float, float, float]  # estimate, lower, upper
GRID = 256


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot.

    Attributes
    ----------
    kind : str
        What the row is: a heading, a study, a stratum's mean, its prediction, a contrast, the overall mean, or a
        result to compare with.
    label, size, data : str
        First columns: name; patients; what the study reports.
    observed : (estimate, lower, upper) or None
        The study's own estimate and 95 % confidence interval.
    posterior : (mean, lower, upper) or None
        Posterior mean and 95 % credible interval.
    density : (x, height) or None
        Posterior density, its peak scaled to 1.
    weight : float
        Weight in the stratum's mean, per cent; NaN where it has no meaning.
    note : str
        What stands at the right of a row that has no weight.
    """

    kind: Kind
    label: str
    size: str = ""
    data: str = ""
    observed: Interval | None = None
    posterior: Interval | None = None
    density: tuple[NDArray[np.float64], NDArray[np.float64]] | None = field(default=None, repr=False)
    weight: float = float("nan")
    note: str = ""
    stratum: str = ""


@dataclass(frozen=True)
class ForestTable:
    """The rows of a forest plot and what its axis says."""

    rows: tuple[ForestRow, ...]
    title: str
    measure: str
    better: str | None
    status: str
    footer: str
    mid: float | None = None

    def to_frame(self) -> pd.DataFrame:
        """The numbers drawn, as a frame."""
        import pandas as pd

        def split(prefix: str, interval: Interval | None) -> dict[str, float]:
            values = interval or (float("nan"),) * 3
            return dict(zip((prefix, f"{prefix}_lower", f"{prefix}_upper"), values, strict=True))

        return pd.DataFrame(
            [
                {
                    **{name: getattr(row, name) for name in ("kind", "stratum", "label", "size", "data")},
                    **split("observed", row.observed),
                    **split("posterior", row.posterior),
                    "weight": row.weight,
                    "note": row.note,
                }
                for row in self.rows
            ]
        )


def forest_table(
    fit: Fit,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    overall: bool = False,
    references: Sequence[tuple[str, float, float, float]] = (),
    mid: float | None = None,
) -> ForestTable:
    """Build the numbers of a forest plot.

    Parameters
    ----------
    fit : Fit
    title : str
        Heading; by default the endpoint's name.
    labels : mapping, optional
        Name of each stratum as a reader should see it.
    overall : bool
        Whether to show the mean over designs. Off by default: the Cochrane Handbook advises against mixing
        randomised and non-randomised evidence in one number.
    references : sequence of (label, estimate, lower, upper)
        Other answers to set below: frequentist, published.
    mid : float, optional
        Minimal important difference, > 0; drawn on the side of benefit.

    Returns
    -------
    ForestTable
    """
    names, posterior = labels or {}, fit.posterior
    table = summary(fit).set_index(["quantity", "stratum", "study"])
    weights = posterior_weights(fit.design, posterior["tau"].values)

    def interval(*key: str) -> Interval:
        row = table.loc[key]
        return float(row["mean"]), float(row["eti95_lower"]), float(row["eti95_upper"])

    rows: list[ForestRow] = []
    items = list(fit.effects.items)
    for s, stratum in enumerate(fit.design.strata):
        own = [i for i, item in enumerate(items) if item.stratum == stratum]
        rows.append(ForestRow("stratum", f"{names.get(stratum, stratum)} (k = {len(own)})", stratum=stratum))
        for i in own:
            rows.append(_study_row(fit, i, interval("theta", stratum, items[i].study), float(weights[i])))
        one = len(fit.design.strata) == 1
        rows.append(
            ForestRow(
                "mean",
                "Mean",
                posterior=interval("mu_stratum", stratum, ""),
                density=density(posterior["mu_stratum"].values[..., s]),
                note=_benefit(fit, "mu_stratum", stratum),
                stratum=stratum,
            )
        )
        rows.append(
            ForestRow(
                "prediction",
                "New study of this design" if not one else "New study",
                posterior=interval("theta_new", stratum, ""),
                note=_tau_note(table.loc[("tau", stratum, "")]),
                stratum=stratum,
            )
        )
    rows += _closing_rows(fit, interval, names, overall, references)
    text = title or fit.endpoint
    return ForestTable(tuple(rows), text, fit.effects.measure, fit.effects.direction, fit.status, _footer(fit), mid)


def _closing_rows(
    fit: Fit,
    interval: object,
    names: Mapping[str, str],
    overall: bool,
    references: Sequence[tuple[str, float, float, float]],
) -> list[ForestRow]:
    rows: list[ForestRow] = []
    posterior, get = fit.posterior, interval
    if "contrast" in posterior:
        rows.append(ForestRow("stratum", "Differences between designs"))
        for i, pair in enumerate(posterior["pair"].values):
            first, second = str(pair).split(" - ")
            label = f"{_short(names.get(first, first))} minus {_short(names.get(second, second)).lower()}"
            draws = posterior["contrast"].values[..., i]
            rows.append(
                ForestRow(
                    "contrast",
                    label,
                    posterior=get("contrast", str(pair), ""),  # type: ignore[operator]
                    density=density(draws),
                    note=f"P(> 0) = {probability(1 - float(fit.marginal('contrast', str(pair)).cdf(0.0)))}",
                )
            )
    if overall and "mu" in posterior and len(fit.design.strata) > 1:
        draws = posterior["mu"].values
        rows.append(ForestRow("stratum", "All designs together"))
        rows.append(
            ForestRow(
                "overall",
                "Mean over designs" if fit.design.mean == "exchangeable" else "Common mean",
                posterior=get("mu", "", ""),  # type: ignore[operator]
                density=density(draws),
                note=_benefit(fit, "mu"),
            )
        )
    return rows + _reference_rows(references, "For comparison: all studies pooled, designs ignored")


def _reference_rows(references: Sequence[tuple[str, float, float, float]], heading: str) -> list[ForestRow]:
    rows = [ForestRow("reference", label, observed=(e, low, high)) for label, e, low, high in references]
    return [ForestRow("stratum", heading), *rows] if rows else []


def single_study_table(
    effects: Effects,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    references: Sequence[tuple[str, float, float, float]] = (),
) -> ForestTable:
    """The numbers of a forest plot for an endpoint with one study: nothing is pooled."""
    if len(effects) != 1:
        raise InputError(f"one study expected, {len(effects)} found")
    item, names = effects.items[0], labels or {}
    rows = (
        ForestRow("stratum", f"{names.get(item.stratum, item.stratum)} (k = 1)", stratum=item.stratum),
        ForestRow("study", item.study, _size(item), _data(item), _observed(item), stratum=item.stratum),
        *_reference_rows(references, "For comparison"),
    )
    footer = "One study: its own estimate and 95 % confidence interval. Nothing is pooled; heterogeneity is unknown."
    return ForestTable(rows, title or item.endpoint, effects.measure, effects.direction, "single_study", footer)


def _study_row(fit: Fit, i: int, shrunken: Interval, weight: float) -> ForestRow:
    item = fit.effects.items[i]
    return ForestRow(
        "study",
        item.study,
        _size(item),
        _data(item),
        _observed(item),
        shrunken,
        density(fit.posterior["theta"].values[..., i]),
        weight,
        stratum=item.stratum,
    )


def _observed(item: Effect) -> Interval:
    half = 1.959963984540054 * item.se
    return item.y, item.y - half, item.y + half


def density(draws: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Density of draws on a grid over their central 99.8 %, peak scaled to 1."""
    from arviz_stats.base import array_stats

    x = np.ravel(draws)
    grid, height, _ = array_stats.kde(x, circular=False, grid_len=GRID)
    low, high = np.quantile(x, [0.001, 0.999])
    inside = (grid >= low) & (grid <= high)
    return grid[inside], height[inside] / height.max()


def _size(item: Effect) -> str:
    """Patients: treated / control, or the one group."""
    treated, control, n = (_whole(item.cells.get(name)) for name in ("n_treated", "n_control", "n"))
    return f"{treated} / {control}" if treated and control else n


def _data(item: Effect) -> str:
    """What the study reports, mean (SD), in its own unit."""
    cells = item.cells
    if cells.get("mean_treated") is not None:
        arms = (("mean_treated", "sd_treated"), ("mean_control", "sd_control"))
        return " v ".join(f"{_plain(cells.get(m))} ({_plain(cells.get(s))})" for m, s in arms)
    if cells.get("mean_before") is not None:
        times = (("mean_before", "sd_before"), ("mean_after", "sd_after"))
        return " \u2192 ".join(f"{_plain(cells.get(m))} ({_plain(cells.get(s))})" for m, s in times)
    if cells.get("events_treated") is not None:
        return " v ".join(
            f"{_whole(cells.get(e))}/{_whole(cells.get(n))}"
            for e, n in (("events_treated", "n_treated"), ("events_control", "n_control"))
        )
    return f"MD {_plain(cells.get('md'))}" if cells.get("md") is not None else ""


def _plain(value: Cell) -> str:
    return f"{value:g}".replace("-", "\u2212") if isinstance(value, float) else "?"


def _whole(value: Cell) -> str:
    return f"{value:.0f}" if isinstance(value, float) else ""


def probability(p: float) -> str:
    """A probability as printed: never 0.000 or 1.000."""
    return "> 0.999" if p > 0.9995 else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def _benefit(fit: Fit, quantity: str, stratum: str = "") -> str:
    direction = fit.effects.direction
    if direction is None:
        return ""
    p = float(fit.marginal(quantity, stratum).cdf(0.0))
    text = probability(p if direction == "lower" else 1 - p)
    return f"P(benefit) {text}" if text[0] in "<>" else f"P(benefit) = {text}"


def _tau_note(row: object) -> str:
    return f"\u03c4 {row['median']:.2f} [{row['eti95_lower']:.2f}, {row['eti95_upper']:.2f}]"  # type: ignore[index]


def _short(label: str) -> str:
    """A stratum's name without its explanation in brackets."""
    return label.split(" (")[0]


def _footer(fit: Fit) -> str:
    priors = ", ".join(f"{name} ~ {text}" for name, text in fit.model.prior_lines().items() if _used(fit, name))
    why = f" NOT RELIABLE: {'; '.join(fit.reasons)}." if fit.status != "reliable" else ""
    return f"Priors: {priors}. {verdict(fit)}.{why}"


def verdict(fit: Fit) -> str:
    """The numbers behind the verdict on a fit, in one line."""
    found = fit.diagnostics
    if found.error is not None:
        return f"Exact integration, error below {max(found.error, 1e-9):.0e} posterior SD"
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    text = (
        f"NUTS: R-hat \u2264 {found.worst_r_hat:.3f}, ESS \u2265 {found.least_ess:,.0f}, {found.divergences} "
        f"divergences, {draws:,} draws"
    )
    if found.agreement is not None:
        text += f"; exact integration agrees within {found.agreement.worst:.1f} Monte Carlo standard errors"
    return text


def _used(fit: Fit, name: str) -> bool:
    return name != "omega" or fit.design.omega is not None
