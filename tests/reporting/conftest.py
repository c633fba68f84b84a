from __future__ import annotations

from pathlib import Path

import pytest

import metastrata as ms

ROOT = Path(__file__).resolve().parents[2]
PLAN = """\
title = "A <script>alert(1)</script> analysis"
data = "table.csv"
seed = 7
overall_in_figure = true
[effects]
measure = "SMD"
r = 0.5
r_source = "an assumption"
change_scores = "convert"
[strata]
rct = "Trials"
self_controlled = "Before/after"
[model]
mean = "exchangeable"
heterogeneity = "independent"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.5)"
[classical]
methods = ["REML + HKSJ", "DL + Wald", "fixed effect", "RevMan 5"]
[endpoints.sledai]
label = "SLEDAI"
better = "lower"
unit = "points"
mid = 0.5
[endpoints.sledai.published]
estimate = -1.76
ci = [-2.00, -1.51]
source = "Liu 2018"
[endpoints.c3]
label = "C3"
better = "higher"
[endpoints.empty]
label = "Nothing yet"
better = "lower"
[[alternatives]]
name = "without B"
why = "B may be part of A."
leave_out = ["=B 2016"]
"""
TABLE = """\
study,design,endpoint,unit,scores,n_treated,mean_treated,sd_treated,n_control,mean_control,sd_control,n,mean_before,\
sd_before,mean_after,sd_after,md,ci_lower,ci_upper,ci_level,ci_distribution,include,source
A <b> 2017,rct,sledai,points,change,12,-8,4,6,-5,8,,,,,,,,,,,yes,a book
=B 2016,rct,sledai,points,,8,,,4,,,,,,,,-4.25,-6.78,-1.72,95,z,yes,a review
C 2010,self_controlled,sledai,points,,,,,,,,12,12.2,3.3,3.2,2.8,,,,,,yes,a paper
D 2012,self_controlled,sledai,points,,,,,,,,12,18,4,10,4,,,,,,yes,a paper
E 2013,self_controlled,sledai,points,,,,,,,,9,18,4,7,4,,,,,,no: baseline of other patients,a paper
A <b> 2017,rct,c3,mg/dL,change,12,36,35,6,33,32,,,,,,,,,,,yes,a book
F 2014,rct,empty,,,,,,,,,,,,,,,,,,,no: not readable,a paper
"""


@pytest.fixture(scope="session")
def plan_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    (folder / "table.csv").write_text(TABLE, encoding="utf-8")
    path = folder / "lupus.toml"
    path.write_text(PLAN, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(plan_path: Path) -> tuple[ms.RunResult, Path, list[str]]:
    """A whole run: its result, its folder, and what it said."""
    said: list[str] = []
    out = plan_path.parent / "out"
    result = ms.run(plan_path, out, say=said.append)
    return result, out, said
