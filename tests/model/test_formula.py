"""Design matrices from formulas, against R's."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metastrata.errors import InputError
from metastrata.frequentist.regression import meta_regression
from metastrata.model.formula import design_matrix

FOLDER = Path(__file__).parents[1] / "reference" / "metafor" / "rma_metareg"


def reference(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def column(name, label):
    data = reference(name)
    return np.array(data["X"])[:, data["X_names"].index(label)]


def bcg():
    alone = np.array(reference("bcg_alloc_noint")["X"])
    words = np.array(["alternate", "random", "systematic"])[alone.argmax(1)]
    return pd.DataFrame({"ablat": column("bcg_all", "ablat"), "year": column("bcg_all", "year"), "alloc": words})


def bangert():
    names = ("length", "wic", "feedback", "info", "pers", "imag", "meta")
    return pd.DataFrame({name: column("bangert_full", name) for name in names})


def grades():
    return pd.DataFrame({"grade": 1 + np.array(reference("bangert_grade")["X"])[:, 1:] @ [1, 2, 3]})


def interaction():
    return pd.DataFrame(
        {"meta": column("bangert_inter", "factor(meta)1"), "imag": column("bangert_inter", "imag")}
    ).astype(int)


CASES = {
    "bcg_all": ("~ ablat + year + alloc", bcg),
    "bcg_alloc": ("alloc", bcg),
    "bcg_alloc_noint": ("alloc - 1", bcg),
    "bcg_poly": ("ablat + I(ablat**2)", bcg),
    "bangert_full": ("length + wic + feedback + info + pers + imag + meta", bangert),
    "bangert_grade": ("C(grade)", grades),
    "bangert_inter": ("C(meta) * imag", interaction),
}


@pytest.mark.parametrize("name", CASES)
def test_reproduces_r(name):
    """The formulas in metafor's calls, factor(x) written C(x) and ^ written **."""
    formula, frame = CASES[name]
    data = reference(name)
    x, names = design_matrix(formula, frame())
    assert x == pytest.approx(np.array(data["X"]), rel=1e-15)
    fit = data["fits"]["REML|knha"]
    result = meta_regression(data["input"]["yi"], data["input"]["vi"], x, names=names)
    assert result.names == names
    assert result.coefficients == pytest.approx(fit["b"], rel=1e-7)
    assert result.se == pytest.approx(fit["se"], rel=1e-7)


def test_names_and_base_level():
    _, names = design_matrix('C(alloc, contr.treatment("random"))', bcg())
    assert names[0] == "Intercept"
    assert len(names) == 3
    assert not any("[T.random]" in name for name in names)
    odd = pd.DataFrame({"mean age": [1.0, 2, 4]})
    assert design_matrix("`mean age`", odd)[1] == ("Intercept", "mean age")


def test_polynomials_are_orthogonal():
    x, _ = design_matrix("poly(ablat, 2)", bcg())
    assert x.T @ x == pytest.approx(np.diag([13, 1, 1]), abs=1e-12)


def test_intercept_alone():
    x, names = design_matrix("1", bcg())
    assert names == ("Intercept",)
    assert (x == np.ones((13, 1))).all()


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("ablat + height", "no moderator 'height'"),
        ("ablat + yaer", "no moderator 'yaer'.*did you mean 'year'"),
        ("gap", "'gap' is missing for study 3"),
        ("void", "'void' is missing for study 2"),
        ("poly(gap, degree=2)", "'gap' is missing for study 3"),
        ("same", "'same' is the same in every study \\(4\\)"),
        ("ablat + C(one)", "'one' is the same in every study"),
        ("ablat + twice", "'twice' says nothing.*rank 2 for 3 coefficients and 13 studies"),
        ("log(zero)", "study 1 has -inf for 'log\\(zero\\)'"),
        ("I(year**0)", "'I\\(year \\*\\* 0\\)' is the same"),
        ("year ~ ablat", "right side only"),
        ("I(ablat^2)", r"write \*\* for a power"),
        ("ablat +* year", "cannot be"),
        ("print(ablat)", "calls print"),
        ("__import__('os')", "calls __import__"),
        ("{ablat}", "not allowed"),
        ("I(ablat.sum())", "not allowed|calls"),
        ("I((lambda: 1)())", "not allowed|calls"),
        ("ablat | year", "several parts"),
        ("0", "no coefficients|cannot be"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_refuses(formula, words):
    frame = bcg().assign(gap=[1, 2, np.nan, *range(10)], void=["a", None, *"bcdefghijkl"], same=4.0, one="x")
    frame = frame.assign(twice=2 * frame["ablat"], zero=range(13))
    with pytest.raises(InputError, match=words):
        design_matrix(formula, frame)


def test_names_the_package_that_is_missing(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match="package formulaic"):
        design_matrix("ablat", bcg())
