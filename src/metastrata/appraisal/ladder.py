"""How much the other designs are let in: the same data under a ladder of models, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metastrata.errors import ModelError, unknown
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.model.model import Model
from metastrata.model.parameters import PriorSpec

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.inference.marginals import Marginal

RUNGS = ("reference only", "partial", "biased", "common")
COLUMNS = [
    *("endpoint", "model", "stratum", "mean", "sd", "eti95_lower", "eti95_upper", "p_benefit"),
    *("weight_of_others", "extra_studies", "log_evidence", "status", "note"),
]


def ladder(
    model: Model, effects: Effects, *, reference: str, bias: PriorSpec | None = None, omega: PriorSpec | None = None
) -> pd.DataFrame:
    """The mean of the reference stratum under four ways of using the other strata.

    Parameters
    ----------
    model : Model
        Its priors of mu and tau, its heterogeneity and moderators are used on every rung; those of omega and bias too,
        if it has them.
    effects : Effects
        Of one endpoint, the reference stratum among at least two.
    reference : str
        The stratum whose mean is the question, usually the randomised trials.
    bias, omega : prior, optional
        Where the model has none.

    Returns
    -------
    DataFrame
        Rows "reference only" (its studies alone), "partial" (exchangeable means; if there is a prior of omega),
        "biased" (the others shifted; if there is a prior of bias) and "common" (all designs alike). `weight_of_others`
        is how much the mean of the reference moves when every other estimate moves by one; `extra_studies` how many
        more studies like those of the reference would have made its posterior as narrow
        (``k (sd_alone^2 / sd^2 - 1)``; negative if the others made it wider). All by exact integration.

    Raises
    ------
    ModelError
        If the reference is not among the strata, or is the only one.

    Notes
    -----
    The ladder from no borrowing to full borrowing is that of Roever and Friede (2020, Stat Methods Med Res 29:1586) and
    of Schmidli et al. (2014, Biometrics 70:1023), whose effective sample size by ratio of variances is used.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.5], [0.2, 0.3, 0.2], stratum=["rct", "rct", "before_after"])
    >>> priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}
    >>> table = ms.ladder(ms.Model(priors=priors), effects, reference="rct", bias="normal(0, 0.5)")
    >>> list(table["model"])
    ['reference only', 'partial', 'biased', 'common']
    """
    import pandas as pd

    if reference not in effects.strata:
        raise ModelError(unknown("stratum", reference, effects.strata))
    if len(effects.strata) == 1:
        raise ModelError(f"'{reference}' is the only stratum: there is nothing to borrow from")
    rungs = _rungs(model, reference, bias, omega)
    alone: float | None = None
    rows = []
    for name, rung in rungs.items():
        data = effects.stratum(reference) if name == RUNGS[0] else effects
        row = _row(name, _fitting(rung, data), data, reference, alone)
        alone = float(row["sd"]) if name == RUNGS[0] and row["status"] == "reliable" else alone
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rungs(model: Model, reference: str, bias: PriorSpec | None, omega: PriorSpec | None) -> dict[str, Model]:
    """The models by name, those whose prior is known."""
    kept = {name: p for name, p in model.priors.items() if name not in ("omega", "bias")}
    bias = model.priors.get("bias", bias)
    omega = model.priors.get("omega", omega)

    def rung(mean: str, **more: PriorSpec) -> Model:
        return replace(model, mean=mean, reference=reference if mean == "biased" else None, priors={**kept, **more})  # type: ignore[arg-type]

    rungs = {RUNGS[0]: rung("common")}
    if omega is not None:
        rungs[RUNGS[1]] = rung("exchangeable", omega=omega)
    if bias is not None:
        rungs[RUNGS[2]] = rung("biased", bias=bias)
    return rungs | {RUNGS[3]: rung("common")}


def _fitting(model: Model, effects: Effects) -> Model:
    """The model without what these studies do not call for: a prior of r if every r is known, an exact likelihood."""
    found = [item.statistics for item in effects.items if item.statistics is not None]
    unused = {"r"} if not any(s.formula == "smcr" and s.r_assumed for s in found) else set()
    if not found and model.likelihood == "exact":
        unused |= {"baseline"}
        model = replace(model, likelihood="normal", priors={n: p for n, p in model.priors.items() if n not in unused})
    return replace(model, priors={name: p for name, p in model.priors.items() if name not in unused})


def _row(name: str, model: Model, effects: Effects, reference: str, alone: float | None) -> dict[str, Any]:
    from metastrata.inference.exact import IntegrationError, solve

    row: dict[str, Any] = dict.fromkeys(COLUMNS, float("nan"))
    row |= {"endpoint": effects.endpoints[0], "model": name, "stratum": reference, "status": "reliable", "note": ""}
    k = len(effects.stratum(reference))
    if k == len(effects) == 1:
        item = effects.items[0]
        half = 1.959963984540054 * item.se
        note = "one study: its own estimate and confidence interval"
        return row | {"mean": item.y, "sd": item.se, "eti95_lower": item.y - half, "eti95_upper": item.y + half,
                      "weight_of_others": 0.0, "status": "single_study", "note": note}  # fmt: skip
    try:
        design = arrange(model, effects)
        solved = solve(design)
        found = solved.marginals[f"mu_stratum[{reference}]"]
        weight = _weight(design, reference, found.sd) if len(effects.strata) > 1 else 0.0
    except (IntegrationError, ModelError) as error:
        return row | {"status": "unreliable", "note": str(error)}
    lower, upper = (float(q) for q in found.quantile([0.025, 0.975]))
    more = k * (alone**2 / found.sd**2 - 1) if alone is not None else float("nan")
    return row | {
        "mean": found.mean, "sd": found.sd, "eti95_lower": lower, "eti95_upper": upper,
        "p_benefit": _benefit(effects, found), "weight_of_others": weight,
        "extra_studies": 0.0 if name == RUNGS[0] else more, "log_evidence": solved.log_evidence,
    }  # fmt: skip


def _benefit(effects: Effects, found: Marginal) -> float:
    below = float(found.cdf(0.0))
    return {"lower": below, "higher": 1 - below}.get(effects.direction or "", float("nan"))


def _weight(design: Design, reference: str, sd: float) -> float:
    """How far the mean of the reference follows the other strata, by a central difference."""
    from metastrata.inference.exact import solve
    from metastrata.inference.grid.moved import moved

    others = design.stratum != design.strata.index(reference)
    step = 0.05 * sd
    up, down = (
        solve(moved(design, others, sign * step)).marginals[f"mu_stratum[{reference}]"].mean for sign in (1.0, -1.0)
    )
    return (up - down) / (2 * step)
