"""Every effect size against metafor 5.0-1: all variance types, corrections and zero-cell rules that were pinned."""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from metastrata.evidence import measures, recover

REFERENCE = Path(__file__).parents[1] / "reference" / "escalc"
NAMES = sorted(path.stem for path in REFERENCE.glob("*__*.json") if not path.stem.startswith("morris"))
TWO_GROUPS = ("m1i", "sd1i", "n1i", "m2i", "sd2i", "n2i")
ORDER = {
    "SMD": (measures.smd, TWO_GROUPS),
    "SMDH": (measures.smdh, TWO_GROUPS),
    "SMD1": (measures.smd1, ("m1i", "n1i", "m2i", "sd2i", "n2i")),
    "MD": (measures.md, TWO_GROUPS),
    "ROM": (measures.rom, TWO_GROUPS),
    # metafor's group 1 is after; SMCR and SMCRH standardise by its sd1i, which is our SD before
    "SMCR": (measures.smcr, ("m1i", "m2i", "sd1i", "ni", "ri")),
    "SMCRH": (measures.smcrh, ("m1i", "m2i", "sd2i", "sd1i", "ni", "ri")),
    "SMCRP": (measures.smcrp, ("m1i", "m2i", "sd1i", "sd2i", "ni", "ri")),
    "SMCC": (measures.smcc, ("m1i", "m2i", "sd1i", "sd2i", "ni", "ri")),
    "MC": (measures.mc, ("m1i", "m2i", "sd1i", "sd2i", "ni", "ri")),
    "ROMC": (measures.romc, ("m1i", "m2i", "sd1i", "sd2i", "ni", "ri")),
    "IRR": (measures.log_rate_ratio, ("x1i", "t1i", "x2i", "t2i")),
    "PLO": (measures.logit_proportion, ("xi", "ni")),
}


def read(name):
    return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))


def arguments(measure, data):
    """The function of a measure and its arguments, whichever inputs metafor was given."""
    if measure in ("OR", "RR", "RD", "PETO"):
        n1, n2 = data.get("n1i"), data.get("n2i")
        sizes = (data["ai"] + data["bi"], data["ci"] + data["di"]) if n1 is None else (n1, n2)
        return measures.COUNT_MEASURES[measure], [data["ai"], sizes[0], data["ci"], sizes[1]]
    if measure == "SMCC" and "m1i" not in data:
        d = data["di"] if "di" in data else data["ti"] / np.sqrt(data["ni"])
        return measures.smcc_from_d, [d, data["ni"]]
    if measure == "SMD" and "m1i" not in data:
        n1, n2 = data["n1i"], data["n2i"]
        d = {
            "di": lambda x, a, b: x,
            "ti": recover.d_from_t,
            "ri": recover.d_from_r,
            "pi": lambda p, a, b: recover.d_from_p(abs(p), a, b, 1 if p > 0 else -1),
        }
        kind = next(key for key in d if key in data)
        return measures.smd_from_d, [[d[kind](*v) for v in zip(data[kind], n1, n2, strict=True)], n1, n2]
    function, order = ORDER[measure]
    return function, [data[key] for key in order]


def test_every_pinned_file_of_metafor_is_read_here():
    assert len(NAMES) == 50
    assert {name.split("__")[1] for name in NAMES} == {*ORDER, "OR", "RR", "RD", "PETO"}


@pytest.mark.parametrize("name", NAMES)
def test_effect_sizes_equal_metafor(name):
    content = read(name)
    data = {
        key: np.array(content["input"][column], dtype=float)
        for key, column in content.get("argument_map", {k: k for k in content["input"]}).items()
    }
    function, given = arguments(name.split("__")[1], data)
    known = inspect.signature(function).parameters
    assert content["outputs"]
    for output in content["outputs"]:
        choices = {**output.get("args", {}), "correct": output.get("correct")}
        if output["vtype"] != "default":
            choices["variance"] = output["vtype"]
        y, variance = function(*given, **{k: v for k, v in choices.items() if k in known and v is not None})
        expected = np.array(output["yi"], dtype=float), np.array(output["vi"], dtype=float)
        there = np.isfinite(expected[0]) & np.isfinite(expected[1])  # where metafor gives NA we may give a number
        assert there.any()
        assert_allclose(np.asarray(y)[there], expected[0][there], rtol=1e-10, atol=1e-13, err_msg=str(output))
        assert_allclose(np.asarray(variance)[there], expected[1][there], rtol=1e-10, err_msg=str(output))


def morris():
    data = read("morris2008__prepost_control")["input"]
    names = ("m_post", "m_pre", "sd_pre", "ni")
    treated, control = ([np.array(data[arm][key], dtype=float) for key in names] for arm in ("datT", "datC"))
    return treated, control, np.array(data["datT"]["ri"], dtype=float)


@pytest.mark.parametrize(("measure", "function"), [("SMCR", "smcr"), ("SMCRH", "smcrh"), ("SMCRP", "smcrp"),
                                                   ("SMCC", "smcc"), ("MC", "mc")])  # fmt: skip
def test_the_arms_of_morris_2008_equal_metafor(measure, function):
    content = read("morris2008__prepost_control")
    outputs = [o for o in content["outputs"] if o["measure"] == measure]
    assert outputs
    for output in outputs:
        for arm in ("T", "C"):
            d = {k: np.array(v, dtype=float) for k, v in content["input"][f"dat{arm}"].items()}
            sds = [d["sd_pre"]] if measure == "SMCR" else [d["sd_post"], d["sd_pre"]]
            more = {} if measure == "MC" else {"correct": output["correct"]}
            y, v = getattr(measures, function)(d["m_post"], d["m_pre"], *sds, d["ni"], d["ri"], **more)
            assert_allclose(y, output[f"yi_{arm}"], rtol=1e-10, atol=1e-13)
            assert_allclose(v, output[f"vi_{arm}"], rtol=1e-10)


def test_the_difference_of_changes_of_morris_2008_equals_metafor():
    treated, control, r = morris()
    output = read("morris2008__prepost_control")["outputs"][0]
    y, variance = measures.difference_of_changes(treated, control, r)
    assert_allclose(y, output["yi"], rtol=1e-10)
    assert_allclose(variance, output["vi"], rtol=1e-10)


def test_d_ppc2_of_morris_2008_is_as_published():
    """Values of the analysis example on the pages of metafor; eq. 25 was computed apart, with the exact factor."""
    y, variance = measures.ppc2(*morris())
    assert np.round(y, 4).tolist() == [0.7684, 0.8010, 1.2045, 1.0476, 0.4389]
    assert np.round(variance, 4).tolist() == [0.1134, 0.0350, 0.1425, 0.0681, 0.1634]
    exact = measures.ppc2(*morris(), variance="exact")[1]
    assert np.round(exact, 4).tolist() == [0.1157, 0.0354, 0.1586, 0.0760, 0.1674]
    approximate = measures.ppc2(*morris(), exact_j=False)[0]
    assert_allclose(approximate, y, rtol=2e-3)


def test_the_five_numbers_of_metafor_give_the_same_mean_and_sd():
    content = read("conv_fivenum")
    data, output = content["input"], content["outputs"]["default_norm"]
    for i, n in enumerate(data["n"]):
        found = recover.from_quantiles(
            n, data["median"][i], data["q1"][i], data["q3"][i], data["min"][i], data["max"][i]
        )
        assert_allclose([found.mean, found.sd], [output["mean"][i], output["sd"][i]], rtol=1e-10)
