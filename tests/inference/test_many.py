"""Many fits at once: the same numbers as one by one, on any executor, and no batch lost to one bad item."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metastrata as ms
from metastrata.inference.design import arrange
from metastrata.inference.exact import solve
from metastrata.inference.shared_strata import differ_in_omega, over_omegas

Y = [0.45, 0.61, 0.22, 0.80, 0.35, 0.15, 0.05, 0.31, -0.10]
DATA = Path(__file__).resolve().parents[2] / "data"
SE = np.sqrt([0.04, 0.09, 0.06, 0.12, 0.05, 0.03, 0.08, 0.05, 0.10])


def two_strata(sign: float = 1.0, endpoint: str = "effect") -> ms.Effects:
    return ms.Effects.from_estimates(sign * np.array(Y), SE, stratum=["a"] * 5 + ["b"] * 4, endpoint=endpoint)


@pytest.fixture(scope="module")
def efm() -> ms.Effects:
    return ms.effect_sizes(ms.read_studies(DATA / "efm.csv"), "GEN")


def models(scales: tuple[float, ...] = (0.1, 0.3, 1.0)) -> dict[str, ms.Model]:
    priors = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)"}
    return {f"omega {s}": ms.Model(priors={**priors, "omega": f"half_normal({s})"}) for s in scales}


def test_the_numbers_are_those_of_single_fits() -> None:
    found = ms.fit_many(models(), {"plain": two_strata(), "mirrored": two_strata(-1)})
    assert len(found) == 6
    assert found[1].names == ("omega 0.1", "mirrored")
    for item in found:
        one = solve(arrange(item.model, item.effects))
        assert item.status == "reliable"
        assert item.error is not None
        assert item.error < 1e-5
        assert item.log_evidence == pytest.approx(one.log_evidence, abs=3e-5)
        assert not [name for name in item if name.startswith("theta[")]
        for name, row in item.items():
            marginal = one[name]
            wanted = [marginal.mean, marginal.sd, *marginal.quantile([0.025, 0.5, 0.975]), float(marginal.cdf(0))]
            got = [row.mean, row.sd, row.lower, row.median, row.upper, row.below[0]]
            np.testing.assert_allclose(got, wanted, atol=3e-5 * marginal.sd, rtol=3e-5, err_msg=name)
    mirrored = found.find("omega 1.0", "mirrored")["mu"]
    assert mirrored.mean == pytest.approx(-found.find("omega 1.0", "plain")["mu"].mean, abs=1e-6)


def test_endpoints_are_taken_apart() -> None:
    both = ms.Effects(
        tuple(two_strata(endpoint="pain").items) + tuple(two_strata(-1, "sleep").items), strata=("a", "b")
    )
    found = ms.fit_many(models((0.3,))["omega 0.3"], both)
    assert [item.names for item in found] == [("model", "pain"), ("model", "sleep")]
    assert found[0]["mu"].mean == pytest.approx(-found[1]["mu"].mean, abs=1e-6)


def test_study_effects_and_points_on_request() -> None:
    item = ms.fit_many(models((0.3,)), two_strata(), quantities=("theta",), points=(0.0, 0.2), level=0.9)[0]
    assert len(item) == 9
    one = solve(arrange(item.model, item.effects))["theta[study 3]"]
    assert item["theta[study 3]"].below == pytest.approx(one.cdf([0.0, 0.2]), abs=1e-5)
    assert item["theta[study 3]"].lower == pytest.approx(float(one.quantile(0.05)), abs=1e-5)


def test_a_bad_item_is_an_item_with_its_reason() -> None:
    one_study = ms.Effects.from_estimates([1.0], [0.1])
    too_heavy = ms.Model(priors={"mu": "normal(0, 1)", "tau": {"a": "half_normal(1)"}, "omega": "half_normal(1)"})
    found = ms.fit_many({**models((0.3,)), "no prior of b": too_heavy}, {"good": two_strata(), "one": one_study})
    assert [item.status for item in found] == ["reliable", "failed", "failed", "failed"]
    assert "one study only" in found[1].reasons[0]
    assert "no prior of tau for stratum 'b'" in found[2].reasons[0]
    assert len(found.failed) == 3
    with pytest.raises(ms.InputError, match="has no posterior: one study only"):
        found[1]["mu"]
    frame = found.to_frame()
    assert frame["note"].str.contains("one study only").sum() == 2
    assert set(frame["status"]) == {"reliable", "failed"}
    assert frame.loc[frame["quantity"] == "omega", "eti95_upper"].item() == found[0]["omega"].upper


def test_the_whole_fit_of_an_item() -> None:
    item = ms.fit_many(models((0.3,)), two_strata())[0]
    whole = item.fit(draws=100)
    assert whole.engine == "exact"
    assert whole.marginal("mu").mean == pytest.approx(item["mu"].mean, abs=3e-5)


@pytest.mark.parametrize(
    ("models", "effects", "choices", "words"),
    [
        ([], two_strata(), {}, "nothing to fit"),
        (models(), {}, {}, "nothing to fit"),
        (models(), two_strata(), {"level": 95}, "between 0 and 1"),
        (models(), two_strata(), {"quantities": ["my"]}, "quantity"),
    ],
)
def test_what_makes_no_sense_is_refused(models: Any, effects: Any, choices: dict[str, Any], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        ms.fit_many(models, effects, **choices)


class Dying(Executor):
    """Does the first task and loses the others."""

    def __init__(self) -> None:
        self.done = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if self.done:
            future.set_exception(RuntimeError("worker killed"))
        else:
            future.set_result(fn(*args, **kwargs))
        self.done += 1
        return future


def test_a_lost_worker_loses_its_own_items_only() -> None:
    found = ms.fit_many(models(), two_strata(), executor=Dying())
    assert [item.status for item in found] == ["reliable", "failed", "failed"]
    assert found[2].reasons == ("the worker did not answer: worker killed",)


def same(found: ms.Fits, wanted: ms.Fits) -> None:
    assert [item.names for item in found] == [item.names for item in wanted]
    for a, b in zip(found, wanted, strict=True):
        for name, row in b.items():
            assert (a[name].mean, a[name].upper) == pytest.approx((row.mean, row.upper), rel=1e-12), name


def test_threads_and_processes_give_the_same() -> None:
    wanted = ms.fit_many(models(), two_strata())
    with ThreadPoolExecutor(2) as pool:
        same(ms.fit_many(models(), two_strata(), executor=pool), wanted)
    import multiprocessing

    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        same(ms.fit_many(models(), two_strata(), executor=pool), wanted)


def test_a_dask_cluster_gives_the_same() -> None:
    """A real scheduler and two worker processes of dask.distributed, through its Executor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            pids = set(client.run(os.getpid).values())
            assert len(pids - {os.getpid()}) == 2
            found = ms.fit_many(models(), two_strata(), executor=client.get_executor())
    same(found, ms.fit_many(models(), two_strata()))


@pytest.mark.parametrize("family", ["half_normal({})", "exponential({})"])
def test_many_priors_of_omega_share_their_work_and_agree_with_single_fits(family: str, efm: ms.Effects) -> None:
    """Posteriors computed together from one tree are those computed one at a time, to the tolerance of both."""
    priors = {"mu": "normal(0, 10)", "tau": "half_normal(5)"}
    models = [ms.Model(priors={**priors, "omega": family.format(s)}) for s in (0.08, 0.3, 0.5, 0.9, 2, 4, 5, 8)]
    designs = [arrange(model, efm) for model in models]
    assert all(differ_in_omega(design) for design in designs)
    found = over_omegas(designs, np.array([0.025, 0.5, 0.975]), np.array([0.0, -1.0]))
    assert (found.error < 1e-4).all()
    assert (found.error < 1e-5).sum() >= 6
    names = ["mu", "omega", *(f"mu_stratum[{s}]" for s in designs[0].strata), *(f"tau[{s}]" for s in designs[0].strata)]
    for row in (0, 3, 7):
        alone = solve(designs[row])
        assert found.log_evidence[row] == pytest.approx(alone.log_evidence, abs=2e-5)
        for c, name in enumerate(names):
            own = alone[name]
            assert found.mean[row, c] == pytest.approx(own.mean, abs=2e-5 * own.sd)
            assert found.sd[row, c] == pytest.approx(own.sd, rel=2e-5)
            np.testing.assert_allclose(found.quantiles[row, c], own.quantile([0.025, 0.5, 0.975]), atol=5e-5 * own.sd)
            np.testing.assert_allclose(found.below[row, c], own.cdf([0.0, -1.0]), atol=2e-5)


def test_priors_of_omega_that_cannot_share_are_done_alone(efm: ms.Effects) -> None:
    """A heavy tail, a uniform prior, and too few priors to share: every item is there, as by itself."""
    omegas = ["half_normal(1)", "half_normal(2)", "half_normal(3)", "half_normal(4)", "half_cauchy(1)", "uniform(0, 4)"]
    models = {text: ms.Model(priors={"mu": "normal(0, 10)", "tau": "half_normal(5)", "omega": text}) for text in omegas}
    together = ms.fit_many(models, efm, quantities=("omega", "mu"))
    for text, model in models.items():
        item, alone = together.find(text, efm.endpoints[0]), ms.fit_many(model, efm, quantities=("omega", "mu"))[0]
        assert list(item) == list(alone) == ["mu", "omega"]
        for name in item:
            assert item[name].median == pytest.approx(alone[name].median, abs=2e-5 * item[name].sd)
