"""A plan and an empty study table, or a workbook, to start from."""

from __future__ import annotations

import io
import re
from pathlib import Path

from metastrata.errors import InputError, OutputError

PLAN = """\
title = "{name}"
question = "In whom, what against what, for which outcome?"
data = "../data/{table}"
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
    "study,year,design,endpoint,better,unit,timepoint_months,scores,"
    "n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,"
    "n,mean_before,sd_before,mean_after,sd_after,r,"
    "md,smd,se,ci_lower,ci_upper,ci_level,ci_distribution,include,source,note\n"
)


DESIGNS = ("rct", "self_controlled")


def write_starter(name: str, folder: Path, *, excel: bool = False) -> list[Path]:
    """Write ``models/NAME.toml`` and ``data/NAME.csv``, or a workbook ``data/NAME.xlsx`` with drop-downs.

    Raises
    ------
    InputError
        If the name cannot be a file name.
    OutputError
        If one of the files exists, or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise InputError(f"'{name}' cannot be a file name here: use letters, digits, _ and -")
    table = f"{name}.xlsx" if excel else f"{name}.csv"
    contents = {
        folder / "models" / f"{name}.toml": PLAN.format(name=name, table=table).encode(),
        folder / "data" / table: _workbook() if excel else TABLE.encode(),
    }
    for path in contents:
        if path.exists():
            raise OutputError(f"{path} exists already", "F15")
    try:
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"cannot write {error.filename}: {error.strerror}", "F15") from None
    return list(contents)


def _workbook() -> bytes:
    from metastrata.reporting.template import template

    stream = io.BytesIO()
    template(TABLE.strip().split(","), DESIGNS).save(stream)
    return stream.getvalue()
