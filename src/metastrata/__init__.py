"""Bayesian meta-analysis that keeps study designs in strata."""
