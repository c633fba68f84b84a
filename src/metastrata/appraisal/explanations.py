"""Why the Bayesian, the frequentist and the published answer differ: every cause refitted, none assumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metastrata.appraisal.publications import publication
from metastrata.appraisal.reasons import Explanation as Explanation
from metastrata.appraisal.reasons import Publication as Publication
from metastrata.appraisal.reasons import Reason
from metastrata.appraisal.reasons import Step as Step
from metastrata.appraisal.reasons import Variation as Variation
from metastrata.appraisal.variations import variations
from metastrata.appraisal.walks import walks
from metastrata.inference.fit import Fit


def explain(fit: Fit, published: Mapping[str, Any] | None = None) -> list[Reason]:
    """Explain the differences between a fit, REML with HKSJ, and a published result.

    Parameters
    ----------
    fit : Fit
    published : mapping, optional
        As for `compare`.

    Returns
    -------
    list
        Each with ``quantity``, ``stratum``, ``material`` (whether the difference deserves a sentence) and
        ``sentence(names)``:

        `Explanation`, one for each row of `compare`: the way from REML with HKSJ to the posterior in steps, each a
        refit by integration. For a mean or a new study: (1) the normal quantile instead of the t of HKSJ, tau still at
        its REML value; (2) tau with its prior and its uncertainty; (3) the rest of the model, which for a stratum is
        what it borrows from the other strata and the prior of mu. For tau: its likelihood, its prior, the other
        designs.

        `Variation`, for means: both answers with another pre-post correlation where it was assumed, with before and
        after as independent groups, and with another small-sample variance.

        `Publication`: which method on which derivation comes closest to what is published, what the difference is made
        of, and how far rounding can carry.

    Raises
    ------
    InputError
        If `published` is not complete.

    Examples
    --------
    >>> import metastrata as ms
    >>> effects = ms.Effects.from_estimates([0.5, 0.9, 0.1, 1.3], [0.2, 0.3, 0.2, 0.4])
    >>> model = ms.Model(mean="common", priors={"mu": "normal(0, 0.5)", "tau": "half_normal(0.5)"})
    >>> reasons = ms.explain(ms.fit(model, effects, engine="exact", draws=100))
    >>> [(r.quantity, r.material) for r in reasons]
    [('mean', True), ('prediction', True), ('tau', True)]
    >>> reasons[0].steps[2].cause
    "mu's prior"
    """
    if fit.effects.covariances:
        return []  # the frequentist answers that the ways start from take effects for independent
    found: list[Reason] = [*walks(fit), *variations(fit)]
    if published is not None:
        found.append(publication(fit.effects, published))
    return found
