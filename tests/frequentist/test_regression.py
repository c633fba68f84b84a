"""Meta-regression against metafor, exact arithmetic, and what must hold."""

import json
import math
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.pooling import pool
from metastrata.frequentist.regression import meta_regression, predict

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_metareg"
INTERVALS = {"z": "Wald", "t": "t", "knha": "HKSJ", "adhoc": "HKSJ_adhoc"}


@cache
def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


CASES = [
    (path.stem, method)
    for path in sorted(FOLDER.glob("*.json"))
    for method in dict.fromkeys(key.split("|")[0] for key in reference(path.stem)["fits"])
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_reproduces_metafor(name, method):
    data = reference(name)
    y, variance = data["input"]["yi"], data["input"]["vi"]
    for key, fit in data["fits"].items():
        if key.startswith(f"{method}|"):
            interval = INTERVALS[key.split("|")[1]]
            assert_fit(meta_regression(y, variance, data["X"], method, interval, names=data["X_names"]), fit)


def assert_fit(result, fit):
    """Compare all of it.

    metafor solves the normal equations: with a calendar year among the moderators it keeps 8 digits
    (test_exact_arithmetic shows which of the two is right).
    """
    rel = 1e-7
    scale = max(abs(np.array(fit["ci_ub"]) - np.array(fit["ci_lb"])))
    pairs = {"coefficients": "b", "se": "se", "p_value": "pval", "lower": "ci_lb", "upper": "ci_ub"}
    for ours, theirs in pairs.items():
        slack = 1e-9 * scale if ours in ("lower", "upper") else 0
        assert getattr(result, ours) == pytest.approx(fit[theirs], rel=rel, abs=slack), (result.interval, ours)
    pairs = {"tau2": "tau2", "i2": "I2", "h2": "H2", "q_e": "QE", "q_e_p": "QEp", "q_m": "QM", "q_m_p": "QMp"}
    for ours, theirs in pairs.items():
        assert getattr(result, ours) == pytest.approx(fit[theirs], rel=rel, abs=1e-12), (result.interval, ours)
    assert result.r2 == pytest.approx(math.nan if fit["R2"] is None else fit["R2"], rel=1e-6, nan_ok=True)
    df2 = math.inf if fit["QMdf"][1] is None else fit["QMdf"][1]
    assert (result.q_m_df, result.q_m_df2) == (fit["QMdf"][0], df2)


def inverse(matrix):
    """Gauss and Jordan, with fractions."""
    size = len(matrix)
    rows = [[*row, *(Fraction(int(i == j)) for j in range(size))] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = next(r for r in range(i, size) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(size):
            if r != i:
                rows[r] = [a - rows[r][i] * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[size:] for row in rows]


def least_squares(y, w, x):
    k, p = range(len(y)), range(len(x[0]))
    gram = inverse([[sum(w[i] * x[i][a] * x[i][b] for i in k) for b in p] for a in p])
    moment = [sum(w[i] * x[i][a] * y[i] for i in k) for a in p]
    return [sum(gram[a][b] * moment[b] for b in p) for a in p], gram


def test_exact_arithmetic():
    """DerSimonian-Laird with latitude, year and allocation, in fractions: we keep 12 digits, metafor 8."""
    data = reference("bcg_all")
    y, variance = ([Fraction(v) for v in data["input"][n]] for n in ("yi", "vi"))
    x = [[Fraction(v) for v in row] for row in data["X"]]
    w = [1 / v for v in variance]
    beta, gram = least_squares(y, w, x)
    residual = [yi - sum(a * b for a, b in zip(row, beta, strict=True)) for yi, row in zip(y, x, strict=True)]
    q = sum(wi * e * e for wi, e in zip(w, residual, strict=True))
    hat = [sum(row[a] * gram[a][b] * row[b] for a in range(5) for b in range(5)) for row in x]
    tau2 = (q - 8) / sum(wi * (1 - wi * h) for wi, h in zip(w, hat, strict=True))
    beta, _ = least_squares(y, [1 / (v + tau2) for v in variance], x)
    result = meta_regression(data["input"]["yi"], data["input"]["vi"], data["X"], "DL", "Wald")
    assert result.tau2 == pytest.approx(float(tau2), rel=1e-12)
    assert result.coefficients == pytest.approx([float(b) for b in beta], rel=1e-11)
    off = abs(data["fits"]["DL|z"]["b"][4] / float(beta[4]) - 1)
    assert 1e-9 < off < 1e-8


@pytest.mark.parametrize("method", ["FE", "DL", "DL2", "HE", "HS", "HSk", "SJ", "ML", "REML", "PM", "PMM"])
@pytest.mark.parametrize("interval", ["Wald", "HKSJ", "t"])
def test_intercept_alone_is_pooling(method, interval):
    data = reference("bcg_all")["input"]
    fit = meta_regression(data["yi"], data["vi"], np.ones((13, 1)), method, interval)
    one = pool(data["yi"], data["vi"], method, interval)
    assert (fit.coefficients[0], fit.se[0], fit.lower[0], fit.p_value[0]) == pytest.approx(
        (one.estimate, one.se, one.lower, one.p_value), rel=1e-10
    )
    assert (fit.tau2, fit.tau2_total, fit.i2, fit.h2, fit.q_e, fit.q_e_p) == pytest.approx(
        (one.tau2, one.tau2, one.i2, one.h2, one.q, one.q_p), rel=1e-9
    )
    ahead = predict(fit, [[1]])
    assert (ahead.estimate[0], ahead.se[0], ahead.upper[0]) == pytest.approx((one.estimate, one.se, one.upper))
    assert (ahead.prediction_lower[0], ahead.prediction_upper[0]) == pytest.approx(
        (one.prediction_lower, one.prediction_upper), rel=1e-9, nan_ok=True
    )


def test_origin_and_unit_of_a_moderator_change_nothing_else():
    data = reference("bcg_ablat")
    latitude = np.array(data["X"])[:, 1]
    first = meta_regression(data["input"]["yi"], data["input"]["vi"], data["X"])
    moved = meta_regression(
        data["input"]["yi"], data["input"]["vi"], np.column_stack([np.ones(13), (latitude - 33) / 10])
    )
    assert moved.coefficients[1] == pytest.approx(10 * first.coefficients[1], rel=1e-9)
    assert (moved.tau2, moved.r2, moved.q_m, moved.i2) == pytest.approx(
        (first.tau2, first.r2, first.q_m, first.i2), rel=1e-8
    )
    here, there = predict(first, [[1, 20], [1, 50]]), predict(moved, [[1, -1.3], [1, 1.7]])
    assert here.prediction_lower == pytest.approx(there.prediction_lower, rel=1e-8)


def test_names_come_from_a_frame():
    data = reference("bcg_ablat")
    frame = pd.DataFrame(data["X"], columns=["Intercept", "latitude"])
    assert meta_regression(data["input"]["yi"], data["input"]["vi"], frame).names == ("Intercept", "latitude")
    assert meta_regression(data["input"]["yi"], data["input"]["vi"], data["X"]).names == ("x1", "x2")


def test_as_many_coefficients_as_studies():
    x = np.column_stack([np.ones(2), [0, 1]])
    fit = meta_regression([0.1, 0.5], [0.1, 0.1], x)
    assert "not estimable" in fit.note
    assert np.isnan([fit.tau2, fit.q_m, *fit.coefficients, *fit.lower]).all()
    fixed = meta_regression([0.1, 0.5], [0.1, 0.1], x, "FE")
    assert fixed.coefficients == pytest.approx([0.1, 0.4])


def test_refuses():
    y, variance = [0.1, 0.2, 0.4, 0.1], [0.1] * 4
    x = np.column_stack([np.ones(4), [1, 2, 3, 4], [2, 4, 6, 8]])
    with pytest.raises(InputError, match="'twice' says nothing"):
        meta_regression(y, variance, x, names=["one", "dose", "twice"])
    with pytest.raises(InputError, match="needs 4 rows"):
        meta_regression(y, variance, np.ones((3, 1)))
    with pytest.raises(InputError, match="study 2 has nan for 'dose'"):
        meta_regression(y, variance, [[1, 1], [1, math.nan], [1, 2], [1, 3]], names=["one", "dose"])
    with pytest.raises(InputError, match="2 names for 1 columns"):
        meta_regression(y, variance, np.ones((4, 1)), names=["a", "b"])
    with pytest.raises(InputError, match="3 columns, but the coefficients are x1"):
        predict(meta_regression(y, variance, np.ones((4, 1))), [[1, 2, 3]])
