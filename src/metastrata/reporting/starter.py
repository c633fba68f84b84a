"""A plan and an empty study table to start from."""

from __future__ import annotations

import re
from pathlib import Path

from metastrata.errors import InputError, OutputError

PLAN = """\
title = "{name}"
question = "In whom, what against what, for which outcome?"
data = "../data/{name}.csv"
seed = 1

[effects]
measure = "SMD"            # SMD, MD, OR, RR, RD or GEN
# r = 0.5                  # pre-post correlation for before/after studies that print none: say why, and vary it

[strata]                   # design in the table = name in the report, in the order shown
rct = "Randomised trials"
self_controlled = "Self-controlled (before/after)"

[model]
mean = "exchangeable"      # exchangeable, common or independent
heterogeneity = "independent"

[model.priors]             # with few studies these matter: choose them with reason
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.5)"

[endpoints.pain]
label = "Pain"
better = "lower"           # lower or higher
"""
TABLE = (
    "study,year,design,endpoint,unit,timepoint_months,scores,"
    "n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,"
    "n,mean_before,sd_before,mean_after,sd_after,r,"
    "md,smd,se,ci_lower,ci_upper,ci_level,ci_distribution,include,source,note\n"
)


def write_starter(name: str, folder: Path) -> list[Path]:
    """Write ``models/NAME.toml`` and ``data/NAME.csv``.

    Raises
    ------
    InputError
        If the name cannot be a file name.
    OutputError
        If one of the files exists.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"'{name}' cannot be a file name here: use letters, digits, _ and -")
    contents = {
        folder / "models" / f"{name}.toml": PLAN.format(name=name),
        folder / "data" / f"{name}.csv": TABLE,
    }
    for path in contents:
        if path.exists():
            raise OutputError(f"{path} exists already")
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(contents)
