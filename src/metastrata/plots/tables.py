"""The numbers behind a forest plot: what is drawn, row by row, before anything is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from metastrata.appraisal.summaries import summary
from metastrata.errors import InputError
from metastrata.evidence.effects import Effects
from metastrata.evidence.risk_of_bias import RiskOfBias
from metastrata.inference.fit import Fit
from metastrata.inference.weights import study_weights
from metastrata.plots.bias_marks import legend
from metastrata.plots.forest_build import (
    DAGGER,
    ForestChoices,
    Frequentist,
    Reference,
    density,
    excluded_elsewhere,
    excluded_rows,
    frequentist_row,
    reference_rows,
    study_row,
)
from metastrata.plots.forest_rows import ForestRow as ForestRow
from metastrata.plots.forest_rows import ForestTable as ForestTable
from metastrata.plots.forest_rows import Interval as Interval
from metastrata.plots.scales import Scale
from metastrata.plots.study_columns import column_texts
from metastrata.plots.style import interval
from metastrata.plots.wording import equals, p_benefit, priors_line, short
from metastrata.plots.wording import probability as probability
from metastrata.plots.wording import verdict as verdict

HEADING = "For comparison: all studies pooled, designs ignored"


def forest_table(
    fit: Fit,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    overall: bool = False,
    references: Sequence[Reference] = (),
    mid: float | None = None,
    columns: Sequence[str] = ("n", "data"),
    excluded: bool = True,
    frequentist: Frequentist = "none",
    risk_of_bias: Sequence[RiskOfBias] = (),
    favours: tuple[str, str] | None = None,
    ratio: bool = True,
    limits: tuple[float, float] | None = None,
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
        Other answers to set below, such as a published one.
    mid : float, optional
        Minimal important difference, > 0, in the unit of the effect; drawn on the side of benefit, with the
        probability of a benefit beyond it.
    columns : sequence of str
        Beside the study's name: "n", "data" (means and SDs, or events), "year", "timepoint", or any column of the
        study table. Columns with nothing in them are left out.
    excluded : bool
        Whether rows left out of the analysis are shown in grey, with the reason.
    frequentist : {"none", "overall", "strata"}
        Rows with REML and HKSJ: of all studies, or of each stratum too.
    risk_of_bias : sequence of RiskOfBias
        Judgements, of one tool or of one for each design.
    favours : (str, str), optional
        Names for the labels below the axis: the treatment, and what it is compared with.
    ratio : bool
        Whether odds ratios and the like are written as ratios on a logarithmic axis, log odds as risks in per cent;
        else as logarithms.
    limits : (lower, upper), optional
        Of the axis (logarithms of ratios), to set several plots on one scale; what lies beyond gets an arrow.

    Returns
    -------
    ForestTable

    Raises
    ------
    InputError
        If a choice is unknown.

    Notes
    -----
    Points of posteriors are their means; of ratios, risks and rates their medians, since the mean of a logarithm read
    back is neither mean nor median of the ratio. Weights are posterior means of each study's share of the precision in
    its stratum (Roever and Friede 2020, Stat Methods Med Res 29:1586), nesting and correlated errors counted in.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2], better="lower")
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    >>> table = ms.forest_table(ms.fit(model, effects, engine="exact", draws=500))
    >>> [row.kind for row in table.rows]
    ['stratum', 'study', 'study', 'study', 'mean', 'prediction']
    """
    choices = ForestChoices(
        title,
        labels or {},
        overall,
        references,
        mid,
        columns,
        excluded,
        frequentist,
        risk_of_bias,
        favours,
        ratio,
        limits,
    )
    builder = _Builder(fit, choices)
    rows = [row for stratum in fit.design.strata for row in builder.block(stratum)]
    rows += excluded_elsewhere(fit.effects, choices)
    rows += builder.closing()
    why = f" NOT RELIABLE: {'; '.join(fit.reasons)}." if fit.status != "reliable" else ""
    footer = f"Priors: {priors_line(fit)}. {verdict(fit)}.{why}"
    return _table(rows, fit.effects, choices, fit.status, footer)


def single_study_table(
    effects: Effects,
    *,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    references: Sequence[Reference] = (),
    columns: Sequence[str] = ("n", "data"),
    excluded: bool = True,
    risk_of_bias: Sequence[RiskOfBias] = (),
    favours: tuple[str, str] | None = None,
    ratio: bool = True,
    limits: tuple[float, float] | None = None,
) -> ForestTable:
    """The numbers of a forest plot for an endpoint with one study: nothing is pooled. Choices as `forest_table`."""
    if len(effects) != 1:
        raise InputError(f"one study expected, {len(effects)} found")
    choices = ForestChoices(
        title, labels or {}, False, references, None, columns, excluded, "none", risk_of_bias, favours, ratio, limits
    )
    item = effects.items[0]
    rows = [
        ForestRow("stratum", f"{choices.name(item.stratum)} (k = 1)", stratum=item.stratum),
        study_row(item, column_texts(effects.items, columns)[1][0], choices),
        *excluded_rows(effects, choices, item.stratum),
        *excluded_elsewhere(effects, choices),
        *reference_rows(references, "For comparison"),
    ]
    footer = "One study: its own estimate and 95 % confidence interval. Nothing is pooled; heterogeneity is unknown."
    return _table(rows, effects, choices, "single_study", footer)


def _table(
    rows: Sequence[ForestRow], effects: Effects, choices: ForestChoices, status: str, footer: str
) -> ForestTable:
    """The rows with everything that is said around them."""
    treatment, other = choices.favours or ("treatment", "")
    labels = (f"favours {treatment}", f"favours {other}" if other else f"against {treatment}")
    judged = [tool for tool in choices.risk_of_bias if any(row.tool == tool.tool for row in rows)]
    if any(row.mark for row in rows):
        footer = f"{DAGGER} A value the study does not print was assumed or imputed (see its derivation). {footer}"
    footer = " ".join([*legend(judged), footer])
    return ForestTable(
        tuple(rows),
        choices.title or (effects.items[0].endpoint if len(effects) else ""),
        effects.measure,
        effects.direction,
        status,
        footer,
        choices.mid,
        tuple(column_texts(effects.items, choices.columns)[0]),
        labels,
        choices.ratio,
        {tool.tool: tool.labels for tool in judged},
        choices.limits,
    )


class _Builder:
    """The rows of a fit."""

    def __init__(self, fit: Fit, choices: ForestChoices):
        self.fit, self.choices = fit, choices
        self.table = summary(fit).set_index(["quantity", "stratum", "study"])
        draws = fit.posterior
        within = draws["tau_within"].values if "tau_within" in draws else None
        self.weights = study_weights(fit.design, draws["tau"].values, within)
        self.centre = Scale(fit.effects.measure, choices.ratio).centre
        self.texts = column_texts(fit.effects.items, choices.columns)[1]

    def interval(self, *key: str) -> Interval:
        row = self.table.loc[key]
        return float(row[self.centre]), float(row["eti95_lower"]), float(row["eti95_upper"])

    def block(self, stratum: str) -> list[ForestRow]:
        """A stratum: its studies, those left out, its mean, a new study, and the frequentist mean."""
        fit, choices = self.fit, self.choices
        own = [i for i, item in enumerate(fit.effects.items) if item.stratum == stratum]
        rows = [ForestRow("stratum", f"{choices.name(stratum)} (k = {len(own)})", stratum=stratum)]
        rows += [self.study(i, stratum) for i in own]
        rows += excluded_rows(fit.effects, choices, stratum)
        tau = self.table.loc[("tau", stratum, "")]
        tau_values = (float(tau["median"]), float(tau["eti95_lower"]), float(tau["eti95_upper"]))
        several = len(fit.design.strata) > 1
        rows += [
            self.pooled("mean", "Mean", "mu_stratum", stratum),
            ForestRow(
                "prediction",
                "New study of this design" if several else "New study",
                posterior=self.interval("theta_new", stratum, ""),
                note=f"\u03c4 {interval(*tau_values, 2 if tau_values[0] >= 0.1 else 3)}",
                stratum=stratum,
            ),
        ]
        if choices.frequentist == "strata" and several and len(own) > 1:
            rows += frequentist_row(fit, stratum)
        return rows

    def study(self, i: int, stratum: str) -> ForestRow:
        item = self.fit.effects.items[i]
        return replace(
            study_row(item, self.texts[i], self.choices),
            posterior=self.interval("theta", stratum, item.study),
            density=density(self.fit, "theta", item.study),
            weight=float(self.weights[i]),
        )

    def pooled(self, kind: Literal["mean", "overall"], label: str, quantity: str, stratum: str = "") -> ForestRow:
        """A mean, with its probabilities of benefit."""
        known, mid = self.fit.effects.direction is not None, self.choices.mid
        beyond = p_benefit(self.fit, quantity, stratum, mid) if mid is not None and known else None
        return ForestRow(
            kind,
            label,
            posterior=self.interval(quantity, stratum, ""),
            density=density(self.fit, quantity, stratum),
            note=equals("P(benefit)", p_benefit(self.fit, quantity, stratum)) if known else "",
            detail=equals("P(benefit beyond the MID)", beyond) if beyond is not None else "",
            stratum=stratum,
        )

    def closing(self) -> list[ForestRow]:
        """Contrasts, the mean over designs, and results to compare with."""
        fit, choices, rows = self.fit, self.choices, []
        if "contrast" in fit.posterior:
            rows.append(ForestRow("stratum", "Differences between designs"))
            rows += [self.contrast(str(pair)) for pair in fit.posterior["pair"].values]
        if choices.overall and "mu" in fit.posterior and len(fit.design.strata) > 1:
            rows.append(ForestRow("stratum", "All designs together"))
            label = "Mean over designs" if fit.design.mean == "exchangeable" else "Common mean"
            rows.append(self.pooled("overall", label, "mu"))
        pooled = frequentist_row(fit) if choices.frequentist != "none" else []
        below = [*pooled, *reference_rows(choices.references)]
        return [*rows, ForestRow("stratum", HEADING), *below] if below else rows

    def contrast(self, pair: str) -> ForestRow:
        first, second = (short(self.choices.name(name)) for name in pair.split(" - "))
        above = 1 - float(self.fit.marginal("contrast", pair).cdf(0.0))
        return ForestRow(
            "contrast",
            f"{first} minus {second.lower() if second[1:].islower() else second}",
            posterior=self.interval("contrast", pair, ""),
            density=density(self.fit, "contrast", pair),
            note=equals("P(> 0)", above),
        )
