"""Many meta-analyses at once give what each gives alone."""

import math

import numpy as np
import pytest

from metastrata.errors import InputError
from metastrata.frequentist import batch
from metastrata.frequentist.batch import pool_many
from metastrata.frequentist.heterogeneity import METHODS
from metastrata.frequentist.pooling import pool

SHARED = (
    "estimate", "se", "lower", "upper", "p_value", "statistic", "df", "tau2", "tau", "i2", "h2", "q", "q_df", "q_p",
    "prediction_lower", "prediction_upper", "k",
)  # fmt: skip


def ragged(rows=20, width=9, seed=0):
    """Rows of 1 to `width` studies, absent ones NaN in either array."""
    rng = np.random.default_rng(seed)
    variance = rng.uniform(0.01, 0.6, (rows, width))
    y = rng.normal(0.3, np.sqrt(variance + rng.choice([0, 0.2], (rows, 1))))
    count = rng.integers(1, width + 1, rows)
    absent = rng.permuted(np.arange(width) >= count[:, None], axis=1)
    y[absent & (np.arange(width) % 2 == 0)] = math.nan
    variance[absent & (np.arange(width) % 2 == 1)] = math.nan
    return y, variance, ~absent


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("interval", ["HKSJ", "HKSJ_adhoc", "Wald", "t"])
def test_same_as_one_by_one(method, interval):
    y, variance, present = ragged()
    many = pool_many(y, variance, method, interval, level=90, prediction="riley")
    assert len(many) == 20
    assert many.converged.all()
    for i in range(20):
        at = present[i]
        one = pool(y[i, at], variance[i, at], method, interval, level=90, prediction="riley")
        assert [getattr(many, n)[i] for n in SHARED] == pytest.approx(
            [getattr(one, n) for n in SHARED], rel=1e-9, abs=1e-11, nan_ok=True
        )
        assert many.weights[i, at] == pytest.approx(one.weights, rel=1e-9)
        assert (many.weights[i, ~at] == 0).all()


def test_chunks_change_nothing(monkeypatch):
    y, variance, _ = ragged(rows=100)
    whole = pool_many(y, variance)
    monkeypatch.setattr(batch, "CHUNK", 7 * batch.GRID * y.shape[1])
    parts = pool_many(y, variance)
    for name in (*SHARED, "weights"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-12, nan_ok=True)


def test_row_without_studies_is_nan():
    many = pool_many([[0.1, 0.2], [math.nan, math.nan]], [[1, 1], [1, 1]])
    assert many.k.tolist() == [2, 0]
    assert math.isfinite(many.estimate[0])
    assert all(math.isnan(getattr(many, n)[1]) for n in ("estimate", "se", "lower", "tau2", "i2", "q_p"))


def test_no_rows():
    assert len(pool_many(np.empty((0, 3)), np.empty((0, 3)))) == 0


@pytest.mark.parametrize(
    ("y", "variance", "message"),
    [
        ([1, 2], [1, 1], "row, study"),
        ([[1, 2]], [[1, 1, 1]], "row, study"),
        ([[1, 2]], [[1, 0]], "positive"),
        ([[1, 1e80]], [[1, 1]], "change the unit"),
        ([[1, math.inf]], [[1, 1]], "finite"),
    ],
)
def test_refuses(y, variance, message):
    with pytest.raises(InputError, match=message):
        pool_many(y, variance)


def test_refuses_unknown_words():
    with pytest.raises(InputError, match="method 'XYZ'"):
        pool_many([[1, 2]], [[1, 1]], "XYZ")
    with pytest.raises(InputError, match="per cent"):
        pool_many([[1, 2]], [[1, 1]], level=0.95)
