"""A plan's priors: said in words, doubted where absurd, refused where improper, with sources and elicitation."""

from pathlib import Path

import pytest

import metastrata as ms
from metastrata.model.intake import assess
from metastrata.model.plan import read_plan
from metastrata.model.prior_review import before_the_data, lines, prior_record

ROOT = Path(__file__).resolve().parents[2]
PRIORS = {"mu": "normal(0, 1)", "tau": "half_normal(0.5)", "omega": "half_normal(0.5)"}


def plan(folder: Path, more: str = "", **priors: str) -> ms.Plan:
    """The lupus plan with other priors, and something added at the end."""
    text = (ROOT / "models" / "sle_msc.toml").read_text()
    for name, new in priors.items():
        old = f'{name} = "{PRIORS[name]}"'
        assert old in text
        text = text.replace(old, f'{name} = "{new}"', 1)
    text = text.replace("../data/sle_msc.csv", str(ROOT / "data" / "sle_msc.csv"), 1)
    path = folder / "plan.toml"
    path.write_text(text + more)
    return read_plan(path)


def codes(found: ms.Plan) -> dict[str, str]:
    return {fault.code: fault.message for fault in assess(found)[1]}


def test_sensible_priors_raise_no_doubt(tmp_path: Path) -> None:
    assert not {"F60", "F63", "F64", "prior"} & set(codes(plan(tmp_path)))


def test_improper_priors_are_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    with pytest.raises(ms.PriorError, match=r"uniform\(0, inf\) on omega with 2 strata gives an improper posterior"):
        assess(plan(tmp_path, mu="flat()", omega="uniform(0, inf)"))
    with pytest.raises(ms.PriorError, match=r"uniform\(0, inf\) on omega would leave a proper posterior .*no Bayes"):
        assess(plan(tmp_path, omega="uniform(0, inf)"))


def test_an_improper_alternative_is_refused_too(tmp_path: Path) -> None:
    more = '\n[[alternatives]]\nname = "flat"\npriors = { mu = "flat()" }\n'
    found = plan(tmp_path, more)
    with pytest.raises(ms.PriorError, match=r"flat\(\) on mu is improper"):
        assess(found, next(a for a in found.alternatives if a.name == "flat"))


def test_absurd_priors_are_a_warning(tmp_path: Path) -> None:
    found = codes(plan(tmp_path, mu="normal(0, 100)"))
    assert "the priors put" in found["F63"]
    assert any(
        fault.code == "F63" and fault.severity == "warn" for fault in assess(plan(tmp_path, tau="half_normal(100)"))[1]
    )


def test_a_prior_that_is_a_point_is_a_note(tmp_path: Path) -> None:
    faults = assess(plan(tmp_path, omega="half_normal(0.001)"))[1]
    (note,) = [fault for fault in faults if fault.code == "F64"]
    assert note.severity == "note"
    assert "omega ~ half_normal(0.001) is as good as a fixed value" in note.message


def test_a_published_prior_of_something_else_is_a_warning(tmp_path: Path) -> None:
    assert "made for OR, not for SMD" in codes(plan(tmp_path, tau="turner2015()"))["prior"]
    assert "made for tau, not for omega" in codes(plan(tmp_path, omega="rhodes2015()"))["prior"]
    assert "prior" not in codes(plan(tmp_path, tau="rhodes2015()"))


def test_a_doubtful_or_uncalibrated_published_prior_is_a_note(tmp_path: Path) -> None:
    text = "rhodes2015(outcome='mental health', comparison='non-pharmacological')"
    assert "probably a misprint in the paper" in codes(plan(tmp_path, tau=text))["prior"]
    (note,) = [f for f in assess(plan(tmp_path, omega="opinion_omega(outcome='moderate')"))[1] if f.code == "prior"]
    assert note.severity == "note"
    assert "is not calibrated: no collection of meta-analyses by design has been used: opinion" in note.message


def test_a_published_prior_is_printed_as_typed_and_as_what_it_is(tmp_path: Path) -> None:
    text = "rhodes2015(outcome='biomarker', comparison='pharmacological vs placebo')"
    found = plan(tmp_path, tau=text)
    assert found.statistical_model().prior_lines()["tau"] == text
    assert any(line.startswith(f"tau = {text} = log_t(5, -3.41, 2.83, on='tau2'): 95 % below") for line in lines(found))
    record = prior_record(found)
    assert "doi:10.1016/j.jclinepi.2014.08.012" in record["prior_sources"]["tau"]
    assert len(record["prior_citations"]) == 1


ELICITED = """
[[elicited]]
parameter = "omega"
who = "two rheumatologists"
when = "2026-03-01"
question = "How far apart may the two designs be on average?"
answer = "hardly more than half a standard deviation"
quantiles = { "0.5" = 0.34, "0.95" = 0.98 }
"""


def test_an_elicitation_stands_in_the_plan(tmp_path: Path) -> None:
    record = prior_record(plan(tmp_path, ELICITED))
    (text,) = record["elicited"]
    for part in ("omega: two rheumatologists, 2026-03-01, was asked: How far apart", "95 %: 0.98 asked, 0.98 fitted"):
        assert part in text
    assert "This is not what was said" not in text
    assert record["prior_sources"] == {"omega": "two rheumatologists, 2026-03-01"}
    wrong = ELICITED.replace("0.98 }", "3 }")
    assert "This is not what was said" in prior_record(plan(tmp_path, wrong))["elicited"][0]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"omega"', '"omegas"', "the plan has priors of mu, tau, omega"),
        ("who =", "whom =", "did you mean 'who'?"),
        ('"0.5" = 0.34', '"50" = 0.34', "'50' is not a probability between 0 and 1"),
        ('question = "How far apart may the two designs be on average?"\n', "", "question"),
    ],
)
def test_a_wrong_elicitation(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ms.PlanError) as error:
        plan(tmp_path, ELICITED.replace(old, new, 1))
    assert words in str(error.value)


def test_before_the_data_on_a_scale_of_the_endpoint(tmp_path: Path) -> None:
    found = read_plan(ROOT / "models" / "sle_msc.toml")
    said = before_the_data(found)
    assert said[0].startswith("Before any data, 95 % of true study effects lie between -2.42 and 2.42 SD")
    own = [e for e in found.endpoints.values() if e.scale is not None]
    assert len(said) == 1 + len(own)
