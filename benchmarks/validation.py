"""Write the section on inference of docs/validation.md, and its figure, from what is computed and kept.

uv run python benchmarks/validation.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt

from metastrata.appraisal.calibration import envelope
from metastrata.appraisal.references import compare_references

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURE = ROOT / "docs" / "validation.md", ROOT / "docs" / "figures" / "calibration.png"
KEPT = ROOT / "tests" / "calibration" / "sbc.json"
START, END = "<!-- inference: written by benchmarks/validation.py -->", "<!-- end of inference -->"


JOINT = (
    "Joint models of several related effects a study (`metastrata.inference.joint`), each on a handful of studies with "
    "gaps, by the exact engine. The least p-value, of the log likelihood with exchangeable means of designs, was "
    "looked into: 300 further replications gave p = .36."
)


EVENTS = (
    "The joint model of events (`ms.joint_events`): four small trials whose control risks are exchangeable, two single "
    "arms that borrow from them; binomial counts, and counts over person-time. Ranked are its parameters, the levels "
    "of both arms of a new trial, and the log likelihood."
)


def reference_table() -> list[str]:
    """Every reference number, its source, ours, the difference."""
    lines = ["| case | source | quantity | there | here | difference | allowed |", "|---|---|---|--:|--:|--:|--:|"]
    for one in compare_references():
        ref, gap = one.reference, one.ours - one.reference.value
        lines.append(
            f"| {one.case.name} | {one.case.source} | {_named(ref.statistic, ref.quantity)} | {ref.value:g} "
            f"| {one.ours:.5g} | {gap:+.1e} | {ref.tolerance:g} |"
        )
    return lines


def _named(statistic: str, quantity: str) -> str:
    """A statistic of a quantity in words; a number is a quantile."""
    if not statistic:
        return quantity
    return (
        f"{100 * float(statistic):g} % point of {quantity}" if statistic[0].isdigit() else f"{statistic} of {quantity}"
    )


def calibration_table(kept: dict[str, Any], part: str = "calibration") -> list[str]:
    """Each model and engine: replications, and the least p-value of its quantities."""
    lines = ["| model | engine | replications | quantities | least p x quantities |", "|---|---|--:|--:|--:|"]
    for name, found in kept.get(part, {}).items():
        model, engine = name.split(" | ")
        p = {quantity: rank["p"] for quantity, rank in found["ranks"].items()}
        least = min(p, key=p.__getitem__)
        worst = min(1.0, p[least] * len(p))
        lines.append(f"| {model} | {engine} | {found['replications']:,} | {len(p)} | {worst:.2g} ({least}) |")
    return lines


def fault_table(kept: dict[str, Any]) -> list[str]:
    """Each seeded fault and the p-value it is found with."""
    lines = ["| seeded fault | least p | by |", "|---|--:|---|"]
    for name, found in kept["faults"].items():
        p = {quantity: rank["p"] for quantity, rank in found["ranks"].items()}
        least = min(p, key=p.__getitem__)
        lines.append(f"| {name} | {p[least]:.1e} | {least} |")
    return lines


def coverage_table(kept: dict[str, Any]) -> list[str]:
    """Coverage of 95 % intervals of mu."""
    lines = ["| studies | tau = 0 | tau = 0.2 | tau = 0.5 |", "|--:|--:|--:|--:|"]
    for k in (2, 3, 5, 10):
        cells = [kept["coverage"][f"k = {k}, tau = {tau:g}"]["coverage"] for tau in (0.0, 0.2, 0.5)]
        lines.append(f"| {k} | " + " | ".join(f"{c:.3f}" for c in cells) + " |")
    return lines


def draw(kept: dict[str, Any]) -> None:
    """The ECDF of every quantity's ranks, less the straight line, in the band they share."""
    names = list(kept["calibration"])
    columns = 4
    rows = int(np.ceil(len(names) / columns))
    figure, axes = plt.subplots(rows, columns, figsize=(10, 1.75 * rows), sharex=True, sharey=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        found = kept["calibration"][name]
        half = envelope(found["replications"], len(found["ranks"]))
        axis.axhspan(-half, half, color="0.9")
        for rank in found["ranks"].values():
            at = np.asarray(rank["ecdf"])
            axis.plot(at, np.linspace(0, 1, len(at)) - at, color="#0072b2", lw=0.6, alpha=0.7)
        model, engine = name.split(" | ")
        axis.set_title("\n".join(_wrapped(f"{model} ({engine})", 34)), fontsize=6.5)
        axis.tick_params(labelsize=6)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.supxlabel("rank of the truth among the draws", fontsize=8)
    figure.supylabel("ECDF less the straight line", fontsize=8)
    figure.tight_layout()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def section() -> str:
    """The section as text."""
    kept = json.loads(KEPT.read_text())
    parts = [
        START,
        "## Inference",
        "### Reference numbers",
        "The exact engine against published posteriors and independent integrations; the same are checked by "
        "`metastrata selftest`. Beside these, 162 fits of one stratum integrated in R to 1e-3 of a posterior SD and "
        "1e-4 in log evidence (tests/inference/test_exact_references.py), and bayesmeta's published examples.",
        "\n".join(reference_table()),
        "### Calibration",
        "Parameters are drawn from the prior, data from them, and the truth is ranked among posterior draws: uniform "
        "if model, data and engine mean the same thing (Talts et al. 2018, arXiv:1804.06788; ranks of the joint log "
        "likelihood: Modrak et al. 2023, Bayesian Anal). Kept in tests/calibration/sbc.json with a hash of the source "
        "of the models; a test fails when that has changed. Grey in the figure: the band all quantities of a model "
        "share with 95 % probability.",
        "![ECDF of ranks by model and engine](figures/calibration.png)",
        "\n".join(calibration_table(kept)),
        "Models with other likelihoods and study effects are tried on whole tables: means and SDs of patients, or "
        "counts, are drawn and go through effect sizes like any data. r of each study, or one they share, and the "
        "number of degrees of freedom are ranked too. Weights below 1 are no model of any data (a likelihood to a "
        "power is not a distribution of estimates), so there is nothing to simulate; they are held against plain "
        "tables of the same posterior instead (tests/inference/grid/test_grid_brute_force.py). Where sampling "
        "takes long there are fewer than 1,000 replications, as the table says.",
        "Over all models and quantities the least p-value is no surprise (a test says so). That of tau under a common "
        "mean and tau was looked into: 6,000 further replications gave p = .63 and .95. So was that of a new study "
        "with counts over person-time: in 3,500 further replications its mean rank was .496 (SE .005).",
        JOINT,
        "\n".join(calibration_table(kept, "joint")),
        EVENTS,
        "\n".join(calibration_table(kept, "events")),
        "Faults put in on purpose, 250 replications each:",
        "\n".join(fault_table(kept)),
        "### Coverage",
        "How often the 95 % credible interval of mu holds a fixed true value, one stratum, mu ~ normal(0, 1), tau ~ "
        "half_normal(0.5), SEs uniform(0.15, 0.4), 5,000 data sets a cell (Monte Carlo SE .003). A credible interval "
        "promises this only on average over the prior: with two or three studies and no heterogeneity the prior of tau "
        "makes it wider than need be, with much heterogeneity a little too narrow.",
        "\n".join(coverage_table(kept)),
        END,
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page and the figure."""
    text = PAGE.read_text(encoding="utf-8")
    before = text.split(START)[0].rstrip("\n") + "\n\n"
    after = text.split(END)[1].lstrip("\n") if END in text else ""
    PAGE.write_text(before + section() + after, encoding="utf-8")
    draw(json.loads(KEPT.read_text()))


if __name__ == "__main__":
    main()
