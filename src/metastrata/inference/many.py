"""Many posteriors at once: every model with every data set, by the exact engine, on any executor.

What comes back is light: the summaries, from the integrals. The whole `Fit` of an item is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from metastrata.errors import InputError, MetastrataError, unknown
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.light import Answer, LightSummary, Wanted, answer_all, split
from metastrata.model.model import Model

if TYPE_CHECKING:
    import pandas as pd

    from metastrata.inference.fit import Fit

QUANTITIES = ("mu", "mu_stratum", "contrast", "theta_new", "tau", "omega", "bias", "beta", "r", "theta")
BRIEF = tuple(name for name in QUANTITIES if name != "theta")
CHUNK = 64
CHUNKS = 16


@dataclass(frozen=True, eq=False)
class LightFit(Mapping[str, LightSummary]):
    """A posterior by its summaries: ``item["mu"].mean``, ``item["tau[rct]"].upper``.

    Attributes
    ----------
    model, effects : Model, Effects
        What was fitted.
    names : tuple of str
        Names of the model and of the data.
    status : {"reliable", "failed"}
        "failed": there is no posterior, and `reasons` says why.
    reasons : tuple of str
    log_evidence : float or None
        Log marginal likelihood.
    error : float or None
        The accuracy reached: the largest change on the last refinement, in posterior SDs.
    summaries : dict
        By quantity, as the names of `ExactPosterior.marginals`. Empty if it failed.
    """

    model: Model
    effects: Effects
    names: tuple[str, str]
    status: str
    reasons: tuple[str, ...]
    log_evidence: float | None
    error: float | None
    summaries: Mapping[str, LightSummary]

    def __getitem__(self, name: str) -> LightSummary:
        if name not in self.summaries:
            if self.status == "failed":
                raise InputError(f"{self._where} has no posterior: {'; '.join(self.reasons)}")
            raise InputError(unknown("quantity", name, self.summaries))
        return self.summaries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)

    def fit(self, **choices: Any) -> Fit:
        """The whole fit, by the exact engine unless `engine` says otherwise; takes what `metastrata.fit` takes."""
        from metastrata.inference.fit import fit_one

        return fit_one(self.model, self.effects, **{"engine": "exact", **choices})

    @property
    def _where(self) -> str:
        return f"{self.names[0]}, {self.names[1]}"

    def __repr__(self) -> str:
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"<LightFit {self._where}, {self.status}{why}>"


@dataclass(frozen=True, eq=False)
class Fits(Sequence[LightFit]):
    """The results of `fit_many`, models in the outer order and data in the inner."""

    items: tuple[LightFit, ...]
    level: float = 0.95

    @overload
    def __getitem__(self, index: int) -> LightFit: ...
    @overload
    def __getitem__(self, index: slice) -> Fits: ...
    def __getitem__(self, index: int | slice) -> LightFit | Fits:
        return Fits(self.items[index], self.level) if isinstance(index, slice) else self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def failed(self) -> Fits:
        """The items without a posterior."""
        return Fits(tuple(item for item in self.items if item.status == "failed"), self.level)

    def find(self, model: str, effects: str) -> LightFit:
        """The item of a model and a data set, by their names."""
        for item in self.items:
            if item.names == (model, effects):
                return item
        raise InputError(unknown("model and data", f"{model}, {effects}", [", ".join(i.names) for i in self.items]))

    def to_frame(self) -> pd.DataFrame:
        """One row per item and quantity; an item that failed is one row with its reason in `note`."""
        import pandas as pd

        width = f"eti{100 * self.level:g}"
        rows: list[dict[str, Any]] = []
        for item in self.items:
            shared = {"model": item.names[0], "data": item.names[1]}
            verdict = {"log_evidence": item.log_evidence, "status": item.status, "note": "; ".join(item.reasons)}
            for name, found in item.items():
                quantity, label = split(name)
                numbers = {"mean": found.mean, "median": found.median, "sd": found.sd}
                ends = {f"{width}_lower": found.lower, f"{width}_upper": found.upper}
                rows.append({**shared, "quantity": quantity, "label": label, **numbers, **ends, **verdict})
            if not item.summaries:
                rows.append({**shared, **verdict})
        columns = ["model", "data", "quantity", "label", "mean", "median", "sd", f"{width}_lower", f"{width}_upper"]
        return pd.DataFrame(rows, columns=[*columns, "log_evidence", "status", "note"])


def fit_many(
    models: Model | Sequence[Model] | Mapping[str, Model],
    effects: Effects | Sequence[Effects] | Mapping[str, Effects],
    *,
    executor: Executor | None = None,
    level: float = 0.95,
    points: Sequence[float] = (0.0,),
    quantities: Sequence[str] = BRIEF,
) -> Fits:
    """Fit every model to every data set by the exact engine: a grid of priors, a leave-one-out, several endpoints.

    Parameters
    ----------
    models : Model, sequence or mapping
        A mapping gives them names; else they are "model 1", "model 2", ...
    effects : Effects, sequence or mapping
        Effects of several endpoints are taken apart, each endpoint a data set.
    executor : concurrent.futures.Executor, optional
        Where to compute: a ProcessPoolExecutor, ``dask.distributed.Client.get_executor()``, or any other. By default
        here and now.
    level : float
        Probability of the equal-tailed intervals.
    points : sequence of float
        Where to give the posterior probability of a lower value; 0 answers P(benefit).
    quantities : sequence of str
        By name; "theta", the effect of every study, only on request.

    Returns
    -------
    Fits
        As many items as models times data sets, whatever happened: an item that could not be fitted is there with its
        reason.

    Raises
    ------
    InputError
        If there is nothing to fit, or a choice is not one.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([-0.4, -0.7, -0.2], [0.2, 0.3, 0.2])
    >>> models = {
    ...     f"scale {s}": ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": f"half_normal({s})"})
    ...     for s in (0.1, 0.5, 1)
    ... }
    >>> [round(item["mu"].upper, 2) for item in ms.fit_many(models, effects)]
    [-0.1, 0.06, 0.21]
    """
    if not 0 < level < 1:
        raise InputError(f"level is a probability between 0 and 1, such as 0.95 (got {level})")
    for name in quantities:
        if name not in QUANTITIES:
            raise InputError(unknown("quantity", name, QUANTITIES))
    wanted = Wanted(tuple(quantities), (0.5 - level / 2, 0.5, 0.5 + level / 2), tuple(float(p) for p in points))
    pairs = [(m, e) for m in _named_models(models).items() for e in _named_effects(effects).items()]
    if not pairs:
        raise InputError("nothing to fit: no model, or no data")
    designs: list[Design | MetastrataError] = []
    for (_, model), (_, data) in pairs:
        try:
            designs.append(arrange(model, data))
        except MetastrataError as error:
            designs.append(error)
    answers = _compute(designs, wanted, executor)
    items = [
        _item(model, data, (model_name, name), answer)
        for ((model_name, model), (name, data)), answer in zip(pairs, answers, strict=True)
    ]
    return Fits(tuple(items), level)


def _item(model: Model, effects: Effects, names: tuple[str, str], answer: Answer) -> LightFit:
    status, reasons = ("reliable", ()) if answer.reason is None else ("failed", (answer.reason,))
    return LightFit(
        model, effects, names, status, reasons, answer.log_evidence, answer.error, dict(answer.summaries or {})
    )


def _compute(designs: Sequence[Design | MetastrataError], wanted: Wanted, executor: Executor | None) -> list[Answer]:
    """Answers in the order of the designs; work on the same studies stays together."""
    answers: list[Answer | None] = [Answer(str(d)) if isinstance(d, MetastrataError) else None for d in designs]
    chunks = _chunks(designs, executor is not None)
    tasks = [[d for i in chunk if isinstance(d := designs[i], Design)] for chunk in chunks]
    if executor is None:
        found = [answer_all(task, wanted) for task in tasks]
    else:
        futures = [executor.submit(answer_all, task, wanted) for task in tasks]
        found = []
        for future, task in zip(futures, tasks, strict=True):
            try:
                found.append(future.result())
            except (Exception, CancelledError) as error:  # a worker died, or could not be reached: that is its result
                found.append([Answer(f"the worker did not answer: {error or type(error).__name__}")] * len(task))
    for chunk, part in zip(chunks, found, strict=True):
        for i, answer in zip(chunk, part, strict=True):
            answers[i] = answer
    return [answer or Answer("not computed") for answer in answers]


def _chunks(designs: Sequence[Design | MetastrataError], spread: bool) -> list[list[int]]:
    """Indices that are computed together: same studies, and not too many for a share of the work."""
    together: dict[tuple[bytes, ...], list[int]] = {}
    for i, design in enumerate(designs):
        if isinstance(design, Design):
            key = (design.y.tobytes(), design.se.tobytes(), design.stratum.tobytes())
            together.setdefault(key, []).append(i)
    if not spread:
        return list(together.values())
    size = max(1, min(CHUNK, -(-len(designs) // CHUNKS)))
    chunks: list[list[int]] = []
    for indices in together.values():
        for i in range(0, len(indices), size):
            if chunks and len(chunks[-1]) + len(indices[i : i + size]) <= size:
                chunks[-1] += indices[i : i + size]
            else:
                chunks.append(indices[i : i + size])
    return chunks


def _named_models(models: Model | Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    if isinstance(models, Model):
        return {"model": models}
    if isinstance(models, Mapping):
        return dict(models)
    return {f"model {i}": model for i, model in enumerate(models, 1)}


def _named_effects(effects: Effects | Sequence[Effects] | Mapping[str, Effects]) -> dict[str, Effects]:
    """Data sets by name, one endpoint each."""
    if isinstance(effects, Effects):
        given: list[tuple[str, Effects]] = [("", effects)]
    elif isinstance(effects, Mapping):
        given = list(effects.items())
    else:
        several = len(effects) > 1
        given = [(f"data {i}" if several else "", part) for i, part in enumerate(effects, 1)]
    named: dict[str, Effects] = {}
    for name, part in given:
        endpoints = part.endpoints
        if len(endpoints) <= 1:
            named[name or (endpoints[0] if endpoints else "data")] = part
        else:
            named |= {f"{name}, {e}" if name else e: part.endpoint(e) for e in endpoints}
    return named
