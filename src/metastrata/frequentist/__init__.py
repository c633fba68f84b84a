"""The frequentist answer, on arrays.

answers              `classical`: the answer to Effects, by the rooms below
pooling              one pooled effect: `pool`
batch                many meta-analyses at once: `pool_many`
heterogeneity        estimators of tau2; likelihood: those of ML and REML; moments: the sums they are made of
intervals            confidence and prediction intervals; tau2_intervals: those of tau2
regression           moderators; subgroups: groups of studies, strata among them
two_by_two           Mantel-Haenszel and Peto, on tables
presets              what RevMan computes
refits, influences   leaving studies out
small_studies        Egger, Begg, PET-PEESE; missing_studies: trim and fill, fail-safe N
selection            step-function selection models
hierarchies          several effects of one study; robust: cluster-robust inference
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
