"""How fast the two engines are: single fits, grids of priors, leave-one-out, many studies, cold starts.

    uv run python benchmarks/inference.py [--quick]

Seconds are those of one processor (CPU time, best of several runs); a cold start is wall time of a new process with an
empty cache of compiled code. bayesmeta is timed where R has it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import metastrata as ms
from metastrata.inference.batch import Batch, as_batch, solve_batch
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve

ROOT = Path(__file__).resolve().parent.parent
Y = [0.45, 0.61, 0.22, 0.80, 0.35, 0.15, 0.05, 0.31, -0.10]
SE = np.sqrt([0.04, 0.09, 0.06, 0.12, 0.05, 0.03, 0.08, 0.05, 0.10])
P = (0.025, 0.5, 0.975)
ONE = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
LINKED = {"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": "half_normal(5)"}
COLD = """
import time; start = time.perf_counter()
import metastrata as ms
effects = ms.Effects.from_estimates([0.45, 0.61, 0.22, 0.15, 0.05], [0.2, 0.3, 0.25, 0.17, 0.28], stratum=list("aaabb"))
model = ms.Model(priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"})
import metastrata.inference.nuts
loaded = time.perf_counter()
fit = ms.fit(model, effects)
end = time.perf_counter()
print(end - start, loaded - start, fit.seconds["compile"], fit.seconds["sample"])
"""
BAYESMETA = """
suppressMessages(library(bayesmeta))
y <- c(.45,.61,.22,.80,.35,.15,.05,.31,-.10); s <- sqrt(c(.04,.09,.06,.12,.05,.03,.08,.05,.10))
t <- system.time(bayesmeta(y, s, mu.prior.mean=0, mu.prior.sd=1, tau.prior=function(t) dhalfnormal(t, scale=.5)))
cat(sum(t[1:2]))
"""


def best(work: Callable[[], object], times: int) -> float:
    """Least CPU time of several runs."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def say(what: str, seconds: float, aim: str = "", note: str = "") -> None:
    shown = f"{1000 * seconds:9.2f} ms" if seconds < 1 else f"{seconds:9.2f} s "
    print(f"{what:62s}{shown}   {aim:14s}{note}", flush=True)


def everything(design: object, theta: bool = True) -> None:
    """A fit with mean, SD and quantiles of every marginal."""
    solved = solve(design)  # type: ignore[arg-type]
    for name in solved.marginals:
        if theta or not name.startswith("theta["):
            marginal = solved[name]
            _ = (marginal.mean, marginal.sd, marginal.quantile(P))


def exact(times: int) -> None:
    one = arrange(ONE, ms.Effects.from_estimates(Y, SE))
    batch = as_batch([one])
    say(
        "exact, one stratum, 9 studies, quantiles of mu, tau, new study",
        best(lambda: solve_batch(batch), 10 * times),
        "aim 1 ms",
    )
    say("  with every study effect", best(lambda: solve_batch(batch, studies=True), 10 * times), "aim 1 ms")
    say("  as marginals one by one, with density and distribution function", best(lambda: everything(one), times))
    efm = ms.effect_sizes(ms.read_studies(ROOT / "data" / "efm.csv"), "GEN")
    three = arrange(ms.Model(priors=LINKED), efm)
    say("exact, three strata, 26 studies: evidence, means, tau, omega", best(lambda: solve(three), times))
    say("  every marginal but the study effects (14)", best(lambda: everything(three, False), times), "aim 10 ms")
    say("  every marginal (40)", best(lambda: everything(three), times), "aim 10 ms")


def many(times: int) -> None:
    effects = ms.Effects.from_estimates(Y, SE)
    scales = np.linspace(0.05, 3, 1000)
    models = [ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": ms.half_normal(float(s))}) for s in scales]
    say("1,000 priors, one stratum (fit_many)", best(lambda: ms.fit_many(models, effects), times), "aim 0.2 s")
    efm = ms.effect_sizes(ms.read_studies(ROOT / "data" / "efm.csv"), "GEN")
    linked = [ms.Model(priors={**LINKED, "omega": ms.half_normal(float(s))}) for s in np.linspace(0.5, 8, 1000)]
    wanted = ("mu", "mu_stratum", "tau", "omega")
    seconds = best(lambda: ms.fit_many(linked, efm, quantities=wanted), min(times, 3))
    say("1,000 priors of omega, three strata (fit_many)", seconds, "aim 3 s", "mu, mu_stratum, tau, omega")
    mixed = [
        ms.Model(priors={"mu": "normal(0, 10)", "tau": ms.half_normal(float(t)), "omega": ms.half_normal(float(o))})
        for t in np.linspace(1, 8, 10)
        for o in np.linspace(0.5, 8, 100)
    ]
    seconds = best(lambda: ms.fit_many(mixed, efm, quantities=wanted), 1)
    say("1,000 priors, 10 of tau x 100 of omega, three strata", seconds, "aim 3 s", "the same")
    rng = np.random.default_rng(1)
    big = ms.Effects.from_estimates(rng.normal(0, 0.4, 100), rng.uniform(0.1, 0.5, 100))
    left = {name: big.without([name]) for name in big.studies}
    say("100 leave-one-outs, one stratum", best(lambda: ms.fit_many(ONE, left), times))
    items = 4000
    y, se = rng.normal(0, 0.5, (items, 9)), np.exp(rng.uniform(np.log(0.1), np.log(0.6), (items, 9)))
    batch = Batch(y, se, np.zeros(items), np.ones(items), [ms.half_normal(0.5)] * items)
    seconds = best(lambda: solve_batch(batch), times)
    print(f"{'data sets of 9 studies in a batch, all quantiles':62s}{items / seconds:9,.0f} /s   aim 20,000/s")
    seconds = best(lambda: solve_batch(batch, probabilities=()), times)
    print(f"{'  mean, SD, P(mu < 0) and log evidence only':62s}{items / seconds:9,.0f} /s")


def studies(times: int) -> None:
    rng = np.random.default_rng(2)
    for k in (10, 100, 1000, 5000):
        effects = ms.Effects.from_estimates(rng.normal(0, 0.4, k), rng.uniform(0.1, 0.5, k))
        design = arrange(ONE, effects)
        say(f"exact, one stratum, {k:,} studies: evidence, mu, tau, new study", best(lambda d=design: few(d), times))
    for k in (100, 1000, 5000):
        y, se = rng.normal(0, 0.4, k), rng.uniform(0.1, 0.5, k)
        effects = ms.Effects.from_estimates(y, se, stratum=[("a", "b", "c")[i % 3] for i in range(k)])
        design = arrange(ms.Model(priors={**LINKED, "mu": "normal(0, 1)"}), effects)
        say(f"exact, three strata, {k:,} studies: the same and omega", best(lambda d=design: few(d), times))


def few(design: object) -> None:
    solved = solve(design)  # type: ignore[arg-type]
    for name in solved.marginals:
        if not name.startswith(("theta[", "contrast")):
            solved[name].quantile(P)
    solved.study_moments()


def nuts(quick: bool) -> None:
    effects = ms.Effects.from_estimates(Y, SE, stratum=["a"] * 5 + ["b"] * 4)
    model = ms.Model(priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.3)"})
    from metastrata.inference.nuts import Settings, sample

    design = arrange(model, effects)
    sample(design, Settings())
    say("NUTS warm: 4 x (1000 + 2000) draws, no compiling", best(lambda: sample(design, Settings()), 3), "aim 0.5 s")
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "with the cache of compiled code"):
            flags = {"PYTENSOR_FLAGS": f"base_compiledir={folder}/cache", "NUMBA_CACHE_DIR": f"{folder}/numba"}
            done = subprocess.run(
                [sys.executable, "-c", COLD], env={**os.environ, **flags}, check=True, capture_output=True, text=True
            )
            total, load, compiling, sampling = (float(v) for v in done.stdout.split())
            rest = total - load - compiling - sampling
            parts = f"import {load:.1f}, compile {compiling:.1f}, sample {sampling:.1f}, rest {rest:.1f}"
            say(f"NUTS in a new process, {state} (wall)", total, "aim 12 s", parts)
            if quick:
                break


def bayesmeta() -> None:
    if shutil.which("Rscript") is None:
        print("bayesmeta: no R here")
        return
    done = subprocess.run(["Rscript", "-e", BAYESMETA], capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"bayesmeta: not installed here ({done.stderr.strip().splitlines()[-1] if done.stderr else 'no message'})"
        )
    else:
        say("bayesmeta (R), one stratum, 9 studies", float(done.stdout), note="the fit alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats, one cold start")
    quick = parser.parse_args().quick
    times = 3 if quick else 7
    exact(times)
    many(times)
    studies(min(times, 3))
    nuts(quick)
    bayesmeta()


if __name__ == "__main__":
    main()
