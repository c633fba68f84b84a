"""Speed of REML + HKSJ: metastrata beside PyMARE, statsmodels and metafor, on the same numbers, in one run.

    uv run --with pymare==0.0.13 --with statsmodels python benchmarks/classical.py

A system that is not installed is left out and named. statsmodels has no REML: its Paule-Mandel fit (PM) is compared
with ours. Ours gives prediction interval, I2 and weights besides.
metafor is timed within R, so that neither starting R nor reading the data counts. Times are processor time, which other
work on the machine does not lengthen much (set OMP_NUM_THREADS=1: threads would count twice). Shown is the fastest of
several runs, after one that does not count, with the largest difference of tau2 from ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metastrata.frequentist.batch import pool_many
from metastrata.frequentist.pooling import pool

Floats = NDArray[np.float64]
Timed = tuple[float, Floats]
SIZES = (10, 100, 1_000, 10_000)
MANY = (10_000, 10)
PATIENCE = 20.0  # seconds for one system on one task; what is slower is timed on a part and scaled up, and says so

R_SCRIPT = """
args <- commandArgs(TRUE)
suppressPackageStartupMessages(library(metafor))
fit <- function(y, v) rma(y, v, method = "REML", test = "knha")
data <- lapply(strsplit(readLines(args[1]), " "), as.numeric)
runs <- as.integer(args[2])
n <- length(data) / 2
tau2 <- numeric(n)
best <- Inf
for (run in seq_len(runs)) {
  start <- sum(proc.time()[c("user.self", "sys.self")])
  for (i in seq_len(n)) {
    tau2[i] <- tryCatch(fit(data[[2 * i - 1]], data[[2 * i]])$tau2, error = function(e) NA)
  }
  best <- min(best, sum(proc.time()[c("user.self", "sys.self")]) - start)
}
cat(best, sprintf("%.17g", tau2))
"""


def studies(rows: int, k: int) -> tuple[Floats, Floats]:
    """Made-up meta-analyses with moderate heterogeneity."""
    rng = np.random.default_rng(20250101)
    variance = rng.uniform(0.01, 0.3, (rows, k))
    return rng.normal(0.2, np.sqrt(variance + 0.1)), variance


def fastest(work: Callable[[], Floats], runs: int) -> Timed:
    """Fastest of several runs, in seconds of processor time, and the result."""
    result = work()
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        result = work()
        best = min(best, time.process_time() - start)
    return best, result


def ours(y: Floats, variance: Floats, runs: int, method: str = "REML") -> Timed:
    if len(y) == 1:
        return fastest(lambda: np.array([pool(y[0], variance[0], method).tau2]), runs)
    return fastest(lambda: pool_many(y, variance, method).tau2, runs)


def ours_pm(y: Floats, variance: Floats, runs: int) -> Timed:
    return ours(y, variance, runs, "PM")


def pymare(y: Floats, variance: Floats, runs: int) -> Timed:
    from pymare.estimators import VarianceBasedLikelihoodEstimator

    def work() -> Floats:
        estimator = VarianceBasedLikelihoodEstimator(method="reml")
        estimator.fit(y=y.T, v=variance.T, X=np.ones((y.shape[1], 1)))
        summary = estimator.summary()
        summary.get_fe_stats()
        return np.ravel(summary.tau2)

    return fastest(work, runs)


def statsmodels(y: Floats, variance: Floats, runs: int) -> Timed:
    from statsmodels.stats.meta_analysis import combine_effects

    def work() -> Floats:
        fits = [combine_effects(a, b, method_re="iterated", use_t=True) for a, b in zip(y, variance, strict=True)]
        for fit in fits:
            fit.conf_int()
        return np.array([fit.tau2 for fit in fits])

    return fastest(work, runs)


def metafor(y: Floats, variance: Floats, runs: int) -> Timed:
    with tempfile.TemporaryDirectory() as folder:
        script, table = Path(folder, "run.R"), Path(folder, "data.txt")
        script.write_text(R_SCRIPT)
        pairs = [line for a, b in zip(y, variance, strict=True) for line in (a, b)]
        table.write_text("\n".join(" ".join(f"{v:.17g}" for v in line) for line in pairs) + "\n")
        times = max(runs, 1)
        # R's clock counts milliseconds: repeat a single small meta-analysis to have something to measure
        again = {10: 500, 100: 50}.get(y.size, 1)
        table.write_text(table.read_text() * again)
        done = subprocess.run(["Rscript", script, table, str(times)], capture_output=True, text=True, check=True)
    seconds, *tau2 = done.stdout.split()
    return float(seconds) / again, np.array([float(v.replace("NA", "nan")) for v in tau2[: len(y)]])


SYSTEMS: dict[str, tuple[Callable[[Floats, Floats, int], Timed], str, bool]] = {
    "metastrata": (ours, "REML", True),
    "PyMARE": (pymare, "REML", find_spec("pymare") is not None),
    "metafor": (metafor, "REML", shutil.which("Rscript") is not None),
    "metastrata PM": (ours_pm, "PM", True),
    "statsmodels PM": (statsmodels, "PM", find_spec("statsmodels") is not None),
}


def within_patience(system: Callable[[Floats, Floats, int], Timed], y: Floats, v: Floats) -> tuple[Timed, int]:
    """Time a system, on the first rows only if all would take too long; returns how many rows were timed."""
    if len(y) == 1:
        return system(y, v, 3 if y.size > 1000 else 20), 1
    part, _ = system(y[:200], v[:200], 1)
    rows = min(len(y), max(200, int(PATIENCE / 2 / part * 200)))
    return system(y[:rows], v[:rows], 1), rows


def greatest(values: Floats) -> float:
    """Greatest of the values that are there; NaN if none is."""
    there = values[np.isfinite(values)]
    return float(there.max()) if len(there) else float("nan")


def task(rows: int, k: int) -> list[dict[str, object]]:
    """All systems on one task."""
    y, variance = studies(rows, k)
    reference = {method: ours(y, variance, 1, method)[1] for method in ("REML", "PM")}
    table = []
    for name, (system, method, there) in SYSTEMS.items():
        if not there or (name == "metafor" and k > 1000):
            continue  # metafor builds k x k matrices: k = 10,000 takes minutes and 10 GB
        (seconds, tau2), timed = within_patience(system, y, variance)
        table.append(
            {
                "meta-analyses": rows,
                "k": k,
                "system": name,
                "method": method,
                "milliseconds": 1000 * seconds * rows / timed,
                "timed": timed,
                "failed": int(np.isnan(tau2).sum()),
                "tau2 differs by": greatest(np.abs(tau2 - reference[method][:timed])),
            }
        )
    return table


def main() -> None:
    for name, (*_, there) in SYSTEMS.items():
        if not there:
            print(f"{name} is not installed: left out")
    table = [row for rows, k in [*((1, k) for k in SIZES), MANY] for row in task(rows, k)]
    print(f"{'meta-analyses':>13} {'k':>6}  {'system':<17} {'milliseconds':>13} {'times ours':>10}  tau2 differs by")
    for row in table:
        same = ("k", "meta-analyses", "method")
        own = next(r for r in table if all(r[name] == row[name] for name in same))
        ratio = float(str(row["milliseconds"])) / float(str(own["milliseconds"]))
        part = "" if row["timed"] == row["meta-analyses"] else f"  (first {row['timed']} timed)"
        part += f"  ({row['failed']} did not converge)" if row["failed"] else ""
        print(
            f"{row['meta-analyses']:>13,} {row['k']:>6,}  {row['system']:<17} {row['milliseconds']:>13,.2f} "
            f"{ratio:>10,.1f}  {row['tau2 differs by']:.1e}{part}"
        )
    print(json.dumps(table))


if __name__ == "__main__":
    main()
