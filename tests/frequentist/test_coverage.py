"""Everything that was computed with metafor is compared, or listed in docs/validation.md with the reason."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference" / "metafor"
VALIDATION = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
CATALOGUE = json.loads((REFERENCE / "catalogue.json").read_text())["kinds"]

# By tests/inference/grid/test_events_published.py: the conditional exact likelihood, and that of one arm.
GLMM = {"nielweise2008": ("CM.EL|ML",), "debruin2009": ("ML",), "pritz1997": ("ML",)}
# What is not compared: kind, data sets, outputs, and the words under which docs/validation.md gives the reason.
REASONS = [
    ("rma_uni", ".*", r"fits FE\|.*", "`rma_uni` FE"),
    ("rma_uni", ".*", r"fits (SJIT|DLIT)\|.*", "`rma_uni` SJIT, DLIT"),
    ("rma_uni", ".*", r"fits GENQM?\|.*|REML_unweighted|confint_tau2 GENQ.*", "`rma_uni` GENQ, GENQM"),
    ("rma_uni", ".*", r"blup_REML|ranef_REML|henmi_copas", "`rma_uni` BLUPs, SE of tau2"),
    ("rma_glmm", ".*", r"outputs (EE|.*\|EE|CM\.AL.*|UM\.FS.*|UM\.RS.*|CM\.EL.*)", "`rma_glmm`"),
    ("rma_mh_peto", "nielweise2008", ".*", "`rma_mh_peto` `nielweise2008`"),
    ("rma_mv", ".*", "outputs (aggregate.*|LRT_.*|.*_t_contain|HCS_.*)", "containment degrees of freedom, HCS"),
    ("rma_mv", ".*", "outputs (multivariate_CS|UN_REML_diff)", "the same models again"),
    ("bias_diag", ".*", "outputs (PET|PEESE)_REML", "`bias_diag` PET and PEESE by REML"),
    ("bias_diag", ".*", "outputs leave1out_.*", "`bias_diag` leave-one-out"),
    (
        "bias_diag",
        ".*",
        "outputs (fsn_General|tes|selmodel_(?!stepfun).*)",
        "selection models other than the step function",
    ),
]


def compared(kind: str, name: str) -> set[str]:
    """The outputs of a data set whose reference is pinned, under the names they have in the catalogue."""
    if kind == "rma_uni":
        data = json.loads((REFERENCE / kind / f"{name}.json").read_text())
        robust = json.loads((REFERENCE / "rma_uni_robust.json").read_text()).get(name, {})
        found = {f"fits {method}|{test}" for method, fit in data["fits"].items() for test in fit["tests"]}
        found |= {f"confint_tau2 {kind}" for kind in data.get("confint_tau2", {})}
        found |= {f"robust_{kind}_each_study" for kind in robust if kind.startswith("CR")}
        return found | set(data)
    if kind == "rma_metareg":
        return {f"fits {key}" for key in json.loads((REFERENCE / kind / f"{name}.json").read_text())["fits"]}
    if kind == "rma_subgroup":
        return {f"results {key}" for key in json.loads((REFERENCE / "rma_subgroup.json").read_text())["results"]}
    if kind == "rma_mh_peto":
        data = json.loads((REFERENCE / "rma_mh_peto.json").read_text()).get(name, {"outputs": {}})
        return {f"outputs {key}" for key in data["outputs"]}
    if kind == "rma_glmm":
        return {f"outputs {key}" for key in GLMM.get(name, ())}
    data = json.loads((REFERENCE / kind / f"{name}.json").read_text())
    found = {f"outputs {key}" for key in data["outputs"]}
    path = REFERENCE / "selection" / f"{name}.json"
    steps = json.loads(path.read_text())["fits"] if kind == "bias_diag" and path.exists() else {}
    return found | {f"outputs selmodel_stepfun_{key}" for key in steps}


def reason(kind: str, name: str, output: str) -> str:
    """The words under which the documentation says why an output is not compared; "" if it does not."""
    for of, names, outputs, words in REASONS:
        if of == kind and re.fullmatch(names, name) and re.fullmatch(outputs, output):
            return words
    return ""


def each() -> list[tuple[str, str, str]]:
    return [(kind, name, output) for kind, groups in CATALOGUE.items() for group in groups
            for name in group["files"] for output in group["outputs"]]  # fmt: skip


def test_everything_is_compared_or_has_its_reason() -> None:
    missing = [
        (kind, name, output)
        for kind, name, output in each()
        if output not in compared_once(kind, name) and not reason(kind, name, output)
    ]
    assert missing == []


@pytest.mark.parametrize("words", [words for *_, words in REASONS])
def test_every_reason_is_in_the_documentation(words: str) -> None:
    assert words in VALIDATION


def test_no_reason_is_idle() -> None:
    used = {reason(*one) for one in each() if one[2] not in compared_once(*one[:2])}
    assert used >= {words for *_, words in REASONS}


def test_the_counts_of_the_documentation() -> None:
    total, done = Counter(), Counter()
    for kind, name, output in each():
        total[kind] += 1
        done[kind] += output in compared_once(kind, name)
    for kind in total:
        assert f"| `{kind}` | {done[kind]:,} | {total[kind]:,} |" in VALIDATION


KNOWN: dict[tuple[str, str], set[str]] = {}


def compared_once(kind: str, name: str) -> set[str]:
    if (kind, name) not in KNOWN:
        KNOWN[kind, name] = compared(kind, name)
    return KNOWN[kind, name]
