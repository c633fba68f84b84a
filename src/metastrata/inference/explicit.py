"""The model as a plain PyMC model, nothing integrated out: to read, to extend, to sample with whatever PyMC offers.

The engines use other forms of the same model, which are faster and safer (`graph`, `graph_forms`, `exact`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from metastrata.errors import ModelError
from metastrata.evidence.effects import Effects
from metastrata.inference.design import Design, arrange
from metastrata.inference.gaussian import cluster_strata
from metastrata.inference.graph_forms import prior_of_r
from metastrata.inference.graph_priors import numbers, random_variable, signature
from metastrata.inference.grid.counts import OddsRatio, Proportion, Rate, RateRatio
from metastrata.inference.grid.forms import Form
from metastrata.inference.grid.likelihoods import BeforeAfter, NoncentralT, Normal
from metastrata.model.model import Model
from metastrata.model.priors import Prior


def pymc_model(model: Model, effects: Effects) -> pm.Model:
    """The model as a PyMC model with every quantity in it, named as in a fit.

    Parameters
    ----------
    model : Model
    effects : Effects
        Of one endpoint.

    Returns
    -------
    pymc.Model
        Coordinates ``study`` and ``stratum``. Variables ``mu``, ``mu_stratum``, ``tau``, ``omega``, ``theta`` as in
        ``fit.draws``; offsets from the mean in units of the SD, which is what NUTS samples well; ``y`` observed, or
        the statistics themselves (``d``, ``events_treated``, ``events_control``) where the likelihood is exact.
        Extend it in a ``with`` block; sample it with ``pm.sample(target_accept=0.99)``.

    Raises
    ------
    ModelError
        If the model is one that cannot be written with its study effects in it: weights of strata raise the likelihood
        without study effects to a power; several numbers of degrees of freedom are discrete.

    Examples
    --------
    >>> import metastrata as ms
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 4)", "tau": "half_normal(0.5)"})
    >>> explicit = ms.pymc_model(model, ms.Effects.from_estimates([-0.4, -0.7, -0.1], [0.2, 0.3, 0.2]))
    >>> [variable.name for variable in explicit.free_RVs]
    ['mu', 'tau_all', 'theta_offset']
    """
    design = arrange(model, effects)
    _refuse(design)
    coords: dict[str, list[str]] = {"study": list(design.studies), "stratum": list(design.strata)}
    coords |= {"moderator": list(design.coefficients)} if design.beta else {}
    coords |= {"cluster": list(design.clusters)} if design.clusters else {}
    with pm.Model(coords=coords) as explicit:
        mu_stratum, tau = _means(design), _taus(design)
        theta = pm.Deterministic("theta", _centres(design, mu_stratum) + _scatter(design, tau), dims="study")
        _likelihood(design, theta)
    return explicit


def _refuse(design: Design) -> None:
    form = design.form
    if form is None:
        return
    if any(power != 1 for power in form.powers):
        raise ModelError(
            "weights raise a stratum's likelihood to a power after its study effects are integrated out: such a model "
            "cannot be written with study effects in it. Use engine 'exact' or 'nuts'"
        )
    if form.study_effects.family == "student_t" and len(form.study_effects.parameters) > 1:
        raise ModelError(
            f"study_effects = '{form.study_effects}': PyMC's NUTS does not sample a discrete number of degrees of "
            "freedom; write one, as in student_t(4), or use engine 'exact' or 'nuts'"
        )


def _prior(name: str, prior: Prior, shape: tuple[int, ...] = ()) -> Any:
    return random_variable(name, signature(prior), np.array(numbers(prior)), shape)


def _means(design: Design) -> Any:
    """The stratum means."""
    strata = len(design.strata)
    if design.mean == "independent":
        return pm.Deterministic("mu_stratum", pt.stack([_prior(f"mu_{s}", design.mu) for s in design.strata]),
                                dims="stratum")  # fmt: skip
    mu = _prior("mu", design.mu)
    if design.bias:
        names = [design.strata[s] for s in design.others]
        biases = dict(zip(design.others, [_prior(f"bias_{n}", p) for n, p in zip(names, design.bias, strict=True)],
                          strict=True))  # fmt: skip
        return pm.Deterministic(
            "mu_stratum", pt.stack([mu + biases.get(s, 0.0) for s in range(strata)]), dims="stratum"
        )
    if design.omega is None:
        return pm.Deterministic("mu_stratum", mu * pt.ones(strata), dims="stratum")
    omega = _prior("omega", design.omega)
    return pm.Deterministic("mu_stratum", mu + omega * pm.Normal("mu_offset", 0, 1, dims="stratum"), dims="stratum")


def _taus(design: Design) -> Any:
    """The between-study SDs."""
    if design.spread is not None:
        typical, spread = _prior("tau_typical", design.tau[0]), _prior("spread", design.spread)
        step = pm.Normal("log_tau_offset", 0, 1, dims="stratum")
        return pm.Deterministic("tau", typical * pt.exp(spread * step), dims="stratum")
    names = design.strata if len(design.tau) > 1 or len(design.strata) == 1 else ("all",)
    found = [_prior(f"tau_{name}", prior) for name, prior in zip(names, design.tau, strict=True)]
    return pm.Deterministic("tau", pt.stack(found) * pt.ones(len(design.strata)), dims="stratum")


def _centres(design: Design, mu_stratum: Any) -> Any:
    """Where study effects are expected: at their stratum's mean, shifted by moderators."""
    centre = mu_stratum[np.asarray(design.stratum)]
    if design.x is None:
        return centre
    slopes = [_prior(f"beta_{name}", p) for name, p in zip(design.coefficients, design.beta, strict=True)]
    beta = pm.Deterministic("beta", pt.stack(slopes), dims="moderator")
    return centre + pt.sum(np.asarray(design.x) * beta[None, :], axis=1)


def _scatter(design: Design, tau: Any) -> Any:
    """How far study effects are from there; nested effects share what is their study's."""
    if design.tau_within is None or design.cluster is None:
        return tau[np.asarray(design.stratum)] * _offsets(design.form, len(design.studies))
    own = tau[cluster_strata(design)] * pm.Normal("cluster_offset", 0, 1, dims="cluster")
    within = _prior("tau_within", design.tau_within)
    return own[np.asarray(design.cluster)] + within * pm.Normal("theta_offset", 0, 1, dims="study")


def _offsets(form: Form | None, studies: int) -> Any:
    """Distances of study effects from their stratum's mean, in units of tau."""
    if form is None or form.study_effects.family == "normal":
        return pm.Normal("theta_offset", 0, 1, dims="study")
    if form.study_effects.family == "student_t":
        return pm.StudentT("theta_offset", nu=form.study_effects.parameters[0], mu=0, sigma=1, dims="study")
    share, factor = form.study_effects.parameters
    return pm.NormalMixture("theta_offset", w=np.array([1 - share, share]), mu=np.zeros(2),
                            sigma=np.array([1.0, factor]), shape=(studies,), dims="study")  # fmt: skip


def _likelihood(design: Design, theta: Any) -> None:
    form = design.form
    if design.covariance:
        matrix = np.diag(design.se**2)
        for indices, block in design.covariance:
            matrix[np.ix_(indices, indices)] = block
        pm.MvNormal("y", theta, cov=matrix, observed=design.y, dims="study")
        return
    if form is None:
        pm.Normal("y", theta, design.se, observed=design.y, dims="study")
        return
    kinds: dict[type, list[int]] = {}
    for i, own in enumerate(form.likelihoods):
        kinds.setdefault(type(own), []).append(i)
    writers = {Normal: _normals, NoncentralT: _noncentral, BeforeAfter: _before_after, OddsRatio: _odds_ratios,
               Proportion: _proportions, RateRatio: _rate_ratios, Rate: _rates}  # fmt: skip
    for kind, which in kinds.items():
        writers[kind](form, which, theta[np.array(which)])


def _normals(form: Form, which: list[int], theta: Any) -> None:
    own = [form.likelihoods[i] for i in which]
    pm.Normal("y", theta, np.array([o.se for o in own]), observed=np.array([o.y for o in own]))


def _noncentral(form: Form, which: list[int], theta: Any) -> None:
    own = [o for i in which if isinstance(o := form.likelihoods[i], NoncentralT)]
    d, df, spread, scale = (np.array([getattr(o, name) for o in own]) for name in ("d", "df", "spread", "scale"))
    _standardised("d", d, df, spread, theta / scale)


def _standardised(name: str, d: Any, df: Any, spread: Any, delta: Any) -> None:
    """A mean difference in true SDs, divided by an SD that is itself estimated: noncentral t."""
    ratio = pt.sqrt(pm.ChiSquared(f"{name}_chi2", df, shape=d.shape) / df)
    pm.Normal(name, delta / ratio, pt.sqrt(spread) / ratio, observed=d)


def _before_after(form: Form, which: list[int], theta: Any) -> None:
    own = [o for i in which if isinstance(o := form.likelihoods[i], BeforeAfter)]
    n, d, y = (np.array([getattr(o, name) for o in own]) for name in ("n", "d", "y"))
    prior = prior_of_r(form)
    if prior is None:
        raise ModelError("an unknown correlation needs a prior: priors={'r': ...}")
    spread = 2 * (1 - _prior("r", prior, () if form.shared else (len(own),))) / n
    if own[0].exact:
        _standardised("d_before_after", d, n - 1, spread, theta)
    else:
        pm.Normal("y_before_after", theta, pt.sqrt(spread + y**2 / (2 * n)), observed=y)


def _odds_ratios(form: Form, which: list[int], theta: Any) -> None:
    own = [o for i in which if isinstance(o := form.likelihoods[i], OddsRatio)]
    prior, size = own[0].baseline, (len(own),)
    if prior.family == "uniform":
        risk = _prior("risk_control", prior, size)
        baseline = pm.Deterministic("baseline", pt.log(risk) - pt.log1p(-risk))
    else:
        baseline = _prior("baseline", prior, size)
    treated, control = (np.array([getattr(o, name) for o in own], dtype=int) for name in ("treated", "control"))
    pm.Binomial("events_control", n=control[:, 1], logit_p=baseline, observed=control[:, 0])
    pm.Binomial("events_treated", n=treated[:, 1], logit_p=baseline + theta, observed=treated[:, 0])


def _proportions(form: Form, which: list[int], theta: Any) -> None:
    own = [o for i in which if isinstance(o := form.likelihoods[i], Proportion)]
    counts = np.array([(o.events, o.n) for o in own], dtype=int)
    pm.Binomial("events", n=counts[:, 1], logit_p=theta, observed=counts[:, 0])


def _rate_ratios(form: Form, which: list[int], theta: Any) -> None:
    own = [o for i in which if isinstance(o := form.likelihoods[i], RateRatio)]
    baseline = _prior("baseline", own[0].baseline, (len(own),))
    treated, control = (np.array([getattr(o, name) for o in own]) for name in ("treated", "control"))
    pm.Poisson("events_control", control[:, 1] * pt.exp(baseline), observed=control[:, 0].astype(int))
    pm.Poisson("events_treated", treated[:, 1] * pt.exp(baseline + theta), observed=treated[:, 0].astype(int))


def _rates(form: Form, which: list[int], theta: Any) -> None:
    counts = np.array([(o.events, o.n) for i in which if isinstance(o := form.likelihoods[i], Rate)])
    pm.Poisson("events", counts[:, 1] * pt.exp(theta), observed=counts[:, 0].astype(int))
