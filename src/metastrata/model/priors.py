"""Prior families: one notation, as on paper, in Python, in plans and in every report.

``str(prior("half_normal(0.5)")) == "half_normal(0.5)"`` for every family. Standard deviations, never variances or
precisions, unless the family's own parameters say otherwise.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metastrata.errors import PriorError, unknown

Floats = NDArray[np.float64]
Support = Literal["real", "positive"]


@dataclass(frozen=True)
class Family:
    """A prior family: its name, its parameters and where it puts its mass."""

    name: str
    parameters: tuple[str, ...]
    support: Support
    scipy: Callable[..., Any]

    @property
    def signature(self) -> str:
        """The family as it is written, such as ``half_normal(scale)``."""
        return f"{self.name}({', '.join(self.parameters)})"


class _HalfStudentT:
    """Student-t folded at zero; SciPy has none."""

    def __init__(self, df: float, scale: float):
        from scipy import stats

        self.t = stats.t(df, 0, scale)

    def logpdf(self, x: Floats) -> Floats:
        return np.asarray(np.where(x >= 0, math.log(2) + self.t.logpdf(x), -np.inf))

    def cdf(self, x: Floats) -> Floats:
        return np.asarray(np.clip(2 * self.t.cdf(x) - 1, 0, 1))

    def ppf(self, q: Floats) -> Floats:
        return np.asarray(self.t.ppf((1 + q) / 2))

    def rvs(self, size: Any, random_state: np.random.Generator) -> Floats:
        return np.asarray(np.abs(self.t.rvs(size=size, random_state=random_state)))


class _LogT:
    """A variable whose logarithm is Student-t (Rhodes 2015 gives its priors in this form)."""

    def __init__(self, df: float, location: float, scale: float):
        from scipy import stats

        self.t = stats.t(df, location, scale)

    def logpdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            log_x = np.log(x)
            return np.asarray(np.where(x > 0, self.t.logpdf(log_x) - log_x, -np.inf))

    def cdf(self, x: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(self.t.cdf(np.log(np.maximum(x, 0))))

    def ppf(self, q: Floats) -> Floats:
        return np.asarray(np.exp(self.t.ppf(q)))

    def rvs(self, size: Any, random_state: np.random.Generator) -> Floats:
        return np.asarray(np.exp(self.t.rvs(size=size, random_state=random_state)))


def _scipy(name: str, arrange: Callable[..., dict[str, float]]) -> Callable[..., Any]:
    """Build the SciPy distribution `name` from our parameters; SciPy is loaded only when asked."""

    def build(*parameters: float) -> Any:
        from scipy import stats

        return getattr(stats, name)(**arrange(*parameters))

    return build


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("normal", ("mean", "sd"), "real", _scipy("norm", lambda m, s: {"loc": m, "scale": s})),
        Family(
            "student_t", ("df", "mean", "scale"), "real", _scipy("t", lambda d, m, s: {"df": d, "loc": m, "scale": s})
        ),
        Family("cauchy", ("location", "scale"), "real", _scipy("cauchy", lambda m, s: {"loc": m, "scale": s})),
        Family("half_normal", ("scale",), "positive", _scipy("halfnorm", lambda s: {"scale": s})),
        Family("half_cauchy", ("scale",), "positive", _scipy("halfcauchy", lambda s: {"scale": s})),
        Family("half_student_t", ("df", "scale"), "positive", _HalfStudentT),
        Family("exponential", ("rate",), "positive", _scipy("expon", lambda r: {"scale": 1 / r})),
        Family(
            "log_normal",
            ("meanlog", "sdlog"),
            "positive",
            _scipy("lognorm", lambda m, s: {"s": s, "scale": math.exp(m)}),
        ),
        Family("log_t", ("df", "location", "scale"), "positive", _LogT),
        Family("inverse_gamma", ("shape", "scale"), "positive", _scipy("invgamma", lambda a, s: {"a": a, "scale": s})),
        Family("gamma", ("shape", "rate"), "positive", _scipy("gamma", lambda a, r: {"a": a, "scale": 1 / r})),
        Family("lomax", ("shape", "scale"), "positive", _scipy("lomax", lambda c, s: {"c": c, "scale": s})),
        Family("uniform", ("lower", "upper"), "real", _scipy("uniform", lambda a, b: {"loc": a, "scale": b - a})),
    )
}
_UNBOUNDED = {"mean", "location", "meanlog", "lower", "upper"}
NAMES = (*FAMILIES, "mixture")


@dataclass(frozen=True)
class Prior:
    """A prior distribution.

    Make one with the function of its family (``half_normal(0.5)``) or from text (``prior("half_normal(0.5)")``).

    Attributes
    ----------
    family : str
        Name of the family.
    parameters : tuple of float
        Its parameters in the order of the family's signature. For a mixture, the weights.
    components : tuple of Prior
        The components of a mixture; empty otherwise.
    """

    family: str
    parameters: tuple[float, ...]
    components: tuple[Prior, ...] = ()

    def __post_init__(self) -> None:
        if self.family == "mixture":
            _check_mixture(self)
        elif self.family in FAMILIES:
            _check_parameters(self)
        else:
            raise PriorError(unknown("prior", self.family, NAMES))

    def __str__(self) -> str:
        if self.family == "mixture":
            pairs = zip(self.parameters, self.components, strict=True)
            return f"mixture({', '.join(f'{_number(w)}, {c}' for w, c in pairs)})"
        return f"{self.family}({', '.join(_number(p) for p in self.parameters)})"

    __repr__ = __str__

    @property
    def support(self) -> Support:
        """Whether the prior allows negative values."""
        if self.family == "mixture":
            return "positive" if all(c.support == "positive" for c in self.components) else "real"
        if self.family == "uniform":
            return "positive" if self.parameters[0] >= 0 else "real"
        return FAMILIES[self.family].support

    def _scipy(self) -> Any:
        return FAMILIES[self.family].scipy(*self.parameters)

    def logpdf(self, x: ArrayLike) -> Floats:
        """Log density at `x` (any shape)."""
        x = np.asarray(x, dtype=float)
        if self.family == "mixture":
            parts = [math.log(w) + c.logpdf(x) for w, c in zip(self.parameters, self.components, strict=True)]
            return np.asarray(np.logaddexp.reduce(parts))
        return np.asarray(self._scipy().logpdf(x))

    def cdf(self, x: ArrayLike) -> Floats:
        """P(X <= x) for each element of `x`."""
        x = np.asarray(x, dtype=float)
        if self.family == "mixture":
            parts = [w * c.cdf(x) for w, c in zip(self.parameters, self.components, strict=True)]
            return np.asarray(np.sum(parts, axis=0))
        return np.asarray(self._scipy().cdf(x))

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles at the probabilities `q`."""
        q = np.asarray(q, dtype=float)
        if self.family != "mixture":
            return np.asarray(self._scipy().ppf(q))
        from scipy import optimize

        low = np.min([c.ppf(q) for c in self.components], axis=0)
        high = np.max([c.ppf(q) for c in self.components], axis=0)
        roots = [
            a if a == b else optimize.brentq(lambda x, p=p: float(self.cdf(x)) - p, a, b, xtol=1e-12)
            for p, a, b in zip(np.ravel(q), np.ravel(low), np.ravel(high), strict=True)
        ]
        return np.reshape(np.asarray(roots, dtype=float), q.shape)

    def sample(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> Floats:
        """Draw `size` values with the generator `rng`."""
        if self.family != "mixture":
            return np.asarray(self._scipy().rvs(size=size, random_state=rng))
        which = rng.choice(len(self.components), size=size, p=np.asarray(self.parameters))
        draws = np.stack([component.sample(rng, size) for component in self.components])
        return np.asarray(np.take_along_axis(draws, which[None], axis=0)[0])

    def range95(self) -> tuple[float, float]:
        """The central 95 % range; for a positive prior the interval from 0 to its 95 % point."""
        if self.support == "positive" and self.family != "uniform":
            return 0.0, float(self.ppf(0.95))
        return float(self.ppf(0.025)), float(self.ppf(0.975))


def _number(value: float) -> str:
    """Write a number as short as it can be read back: 1, not 1.0; 0.5; 1e-05."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _check_parameters(prior: Prior) -> None:
    family = FAMILIES[prior.family]
    if len(prior.parameters) != len(family.parameters):
        raise PriorError(
            f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(prior.parameters)}: {prior}"
        )
    for name, value in zip(family.parameters, prior.parameters, strict=True):
        if not math.isfinite(value):
            raise PriorError(f"{family.name}: {name} must be a finite number (got {value})")
        if name not in _UNBOUNDED and value <= 0:
            raise PriorError(f"{family.name}: {name} must be > 0 (got {_number(value)})")
    if prior.family in ("log_normal", "log_t") and abs(prior.parameters[-2]) > 500:
        raise PriorError(f"{prior}: the logarithm of a parameter cannot be that far from 0")
    if prior.family == "uniform" and not prior.parameters[0] < prior.parameters[1]:
        raise PriorError(f"uniform: lower must be below upper (got {prior})")


def _check_mixture(prior: Prior) -> None:
    if not prior.components or len(prior.components) != len(prior.parameters):
        raise PriorError("mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))")
    if any(not weight > 0 for weight in prior.parameters) or abs(sum(prior.parameters) - 1) > 1e-9:
        weights = ", ".join(_number(weight) for weight in prior.parameters)
        raise PriorError(f"mixture: weights must be > 0 and sum to 1 (got {weights})")
    if any(component.family in ("mixture", "uniform") for component in prior.components):
        raise PriorError("mixture: a component cannot itself be a mixture or a uniform prior")
    if len({component.support for component in prior.components}) > 1:
        raise PriorError("mixture: all components must have the same support (all real, or all positive)")


def _make(name: str, positional: Sequence[Any], named: dict[str, Any]) -> Prior:
    """Make a prior from arguments given by position or by the family's parameter names."""
    family = FAMILIES[name]
    if len(positional) > len(family.parameters):
        raise PriorError(f"{family.signature} takes {len(family.parameters)} parameter(s), got {len(positional)}")
    values: dict[str, Any] = dict(zip(family.parameters, positional, strict=False))
    for key, value in named.items():
        if key not in family.parameters:
            raise PriorError(f"{name}: {unknown('parameter', key, family.parameters)}")
        if key in values:
            raise PriorError(f"{name}: {key} is given twice")
        values[key] = value
    missing = [key for key in family.parameters if key not in values]
    if missing:
        raise PriorError(f"{family.signature}: {', '.join(missing)} missing")
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise PriorError(f"{name}: {key} must be a number (got {value!r})")
    return Prior(name, tuple(_float(name, key, values[key]) for key in family.parameters))


def _float(name: str, key: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise PriorError(
            f"{name}: {key} must be a finite number (got one with {len(str(abs(value)))} digits)"
        ) from None


def normal(mean: float, sd: float) -> Prior:
    """Normal prior with this mean and standard deviation."""
    return _make("normal", (mean, sd), {})


def student_t(df: float, mean: float, scale: float) -> Prior:
    """Student-t prior."""
    return _make("student_t", (df, mean, scale), {})


def cauchy(location: float, scale: float) -> Prior:
    """Cauchy prior."""
    return _make("cauchy", (location, scale), {})


def half_normal(scale: float) -> Prior:
    """Normal prior folded at zero; `scale` is the SD of the normal before folding."""
    return _make("half_normal", (scale,), {})


def half_cauchy(scale: float) -> Prior:
    """Cauchy prior folded at zero; its median is `scale`."""
    return _make("half_cauchy", (scale,), {})


def half_student_t(df: float, scale: float) -> Prior:
    """Student-t prior folded at zero."""
    return _make("half_student_t", (df, scale), {})


def exponential(rate: float) -> Prior:
    """Exponential prior with mean 1 / rate."""
    return _make("exponential", (rate,), {})


def log_normal(meanlog: float, sdlog: float) -> Prior:
    """Prior whose logarithm is normal(meanlog, sdlog)."""
    return _make("log_normal", (meanlog, sdlog), {})


def log_t(df: float, location: float, scale: float) -> Prior:
    """Prior whose logarithm is student_t(df, location, scale)."""
    return _make("log_t", (df, location, scale), {})


def inverse_gamma(shape: float, scale: float) -> Prior:
    """Inverse gamma prior with density proportional to x^(-shape-1) exp(-scale/x)."""
    return _make("inverse_gamma", (shape, scale), {})


def gamma(shape: float, rate: float) -> Prior:
    """Gamma prior with mean shape / rate."""
    return _make("gamma", (shape, rate), {})


def lomax(shape: float, scale: float) -> Prior:
    """Lomax (Pareto II) prior with density proportional to (1 + x/scale)^(-shape-1)."""
    return _make("lomax", (shape, scale), {})


def uniform(lower: float, upper: float) -> Prior:
    """Uniform prior between two bounds."""
    return _make("uniform", (lower, upper), {})


def mixture(*weights_and_priors: float | Prior) -> Prior:
    """Mixture of priors: weights and components in turn.

    Examples
    --------
    >>> mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))
    mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))
    """
    weights, components = weights_and_priors[0::2], weights_and_priors[1::2]
    numbers = all(isinstance(w, (int, float, np.number)) and not isinstance(w, bool) for w in weights)
    if not numbers or not all(isinstance(c, Prior) for c in components):
        raise PriorError("mixture takes weights and priors in turn: mixture(0.8, normal(0, 0.5), 0.2, normal(0, 2))")
    return Prior(
        "mixture",
        tuple(float(w) for w in weights if not isinstance(w, Prior)),
        tuple(c for c in components if isinstance(c, Prior)),
    )


def prior(text: str | Prior) -> Prior:
    """Read a prior from text.

    The text is parsed, never evaluated.

    Parameters
    ----------
    text : str
        For example ``"half_normal(0.5)"`` or ``"normal(mean=0, sd=1)"``.

    Raises
    ------
    PriorError
        If the text is not a prior; the message lists the families and names the closest.

    Examples
    --------
    >>> prior("normal(mean=0, sd=1)")
    normal(0, 1)
    """
    if isinstance(text, Prior):
        return text
    if not isinstance(text, str):
        raise PriorError(f'a prior is written as text, such as "half_normal(0.5)" (got {text!r})')
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        text = text if len(text) < 200 else text[:200] + "..."
        raise PriorError(
            f"cannot read the prior '{text}': write it as name(number, ...), such as normal(0, 1)"
        ) from None
    return _from_tree(tree, text)


def _from_tree(tree: ast.expr, text: str) -> Prior:
    if not (isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name)):
        raise PriorError(f"cannot read the prior '{text}': write it as name(number, ...), such as normal(0, 1)")
    name = tree.func.id
    if name not in NAMES:
        raise PriorError(unknown("prior", name, NAMES))
    positional = [_argument(node, text) for node in tree.args]
    named = {}
    for keyword in tree.keywords:
        if keyword.arg is None:
            raise PriorError(f"cannot read the prior '{text}': parameters are numbers")
        if keyword.arg in named:
            raise PriorError(f"{name}: {keyword.arg} is given twice")
        named[keyword.arg] = _argument(keyword.value, text)
    if name == "mixture":
        if named:
            raise PriorError("mixture takes weights and priors in turn, without names")
        return mixture(*positional)
    return _make(name, positional, named)


def _argument(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Call):
        return _from_tree(node, text)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise PriorError(f"cannot read the prior '{text}': its parameters must be numbers") from None
