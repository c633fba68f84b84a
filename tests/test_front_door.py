"""The public names: pinned, so that a change is seen."""

import ast
from pathlib import Path

import metastrata as ms

PUBLIC = {
    "Fault",
    "InputError",
    "MetastrataError",
    "ModelError",
    "OutputError",
    "PlanError",
    "PriorError",
    "RunInterruptedError",
    "SamplingError",
    "TableError",
    "Studies",
    "read_studies",
    "Effect",
    "Effects",
    "effect_sizes",
    "Prior",
    "prior",
    "normal",
    "student_t",
    "cauchy",
    "half_normal",
    "half_cauchy",
    "half_student_t",
    "exponential",
    "log_normal",
    "log_t",
    "inverse_gamma",
    "gamma",
    "lomax",
    "uniform",
    "mixture",
    "truncated",
    "in_words",
    "Elicited",
    "prior_from",
    "prior_from_effects",
    "prior_from_bias",
    "propriety",
    "PriorPredictive",
    "prior_predictive",
    "PublishedPrior",
    "published_priors",
    "empirical",
    "Model",
    "Plan",
    "read_plan",
    "Fit",
    "fit",
    "load_draws",
    "pymc_model",
    "Fits",
    "LightFit",
    "fit_many",
    "Classical",
    "classical",
    "classical_by_stratum",
    "summary",
    "compare",
    "by_method",
    "ForestTable",
    "forest_table",
    "plot_forest",
    "plots",
    "RunResult",
    "run",
    "export",
    "Verification",
    "verify",
    "Rerun",
    "rerun",
    "Report",
    "report",
    "ReportError",
    "ladder",
    "sweep_omega",
    "RiskOfBias",
    "read_risk_of_bias",
    "r_script",
    "Explanation",
    "explain",
    "audit",
}


def test_public_names() -> None:
    assert set(ms.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(ms, name).__doc__, name


def test_the_stub_says_what_is_there() -> None:
    tree = ast.parse((Path(ms.__file__).parent / "__init__.pyi").read_text())
    assert {alias.name for node in tree.body for alias in node.names} == PUBLIC
