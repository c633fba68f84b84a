"""Reading a plan: each fault one message, in words, with its place and what may stand there."""

import hashlib
import re

import pytest

from metastrata.errors import PlanError
from metastrata.model.plan import read_plan

PLAN = """\
title = "T"
data = "table.csv"
[strata]
rct = "Trials"
cohort = "Cohorts"
[model.priors]
mu = "normal(0, 1)"
tau = "half_normal(0.5)"
omega = "half_normal(0.25)"
[endpoints.pain]
label = "Pain"
better = "lower"
"""


@pytest.fixture
def plan(tmp_path):
    """Read a plan from its text."""

    def plan(text=PLAN):
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return read_plan(path)

    return plan


@pytest.fixture
def refusal(plan):
    """The message a plan is refused with."""

    def refusal(text):
        with pytest.raises(PlanError) as error:
            plan(text)
        return str(error.value)

    return refusal


def changed(old, new):
    assert old in PLAN
    return PLAN.replace(old, new)


def test_a_short_plan_is_enough(plan, tmp_path):
    found = plan()
    assert (found.title, found.name, found.seed) == ("T", "plan", 1)
    assert found.table == tmp_path.resolve() / "table.csv"
    assert found.sha256 == hashlib.sha256(PLAN.encode()).hexdigest()
    assert found.strata == {"rct": "Trials", "cohort": "Cohorts"}
    assert list(found.strata) == ["rct", "cohort"]
    assert found.better == {"pain": "lower"}
    assert (found.effects.measure, found.effects.r, found.effects.change_scores) == ("SMD", None, "refuse")
    assert found.statistical_model().prior_lines() == {
        "mu": "normal(0, 1)",
        "tau": "half_normal(0.5)",
        "omega": "half_normal(0.25)",
    }


def test_priors_are_kept_in_one_spelling(plan):
    assert plan(changed("normal(0, 1)", "normal( mean=0.0, sd=1. )")).model.priors["mu"] == "normal(0, 1)"


def test_whole_numbers_stand_for_numbers(plan):
    found = plan(PLAN + "mid = 1\n[endpoints.pain.published]\nestimate = 1\nci = [0, 2]\n[effects]\nr = 0\n")
    endpoint = found.endpoints["pain"]
    assert (endpoint.mid, endpoint.published.estimate, endpoint.published.ci, endpoint.published.ci_level) == (
        1.0,
        1.0,
        (0.0, 2.0),
        95.0,
    )
    assert found.effects.r == 0.0
    assert isinstance(found.options().r, float)


def test_units_and_factors_reach_the_derivation(plan):
    found = plan(PLAN + 'unit = "g"\nconvert = { "mg" = 0.001 }\n')
    assert found.options().units == {"pain": {"g": 1.0, "mg": 0.001}}
    assert plan().options().units == {}


def test_tau_may_differ_by_stratum(plan):
    found = plan(changed('tau = "half_normal(0.5)"', 'tau = { rct = "half_normal(0.3)", cohort = "half_cauchy(1)" }'))
    assert str(found.statistical_model().prior("tau", "cohort")) == "half_cauchy(1)"


def test_an_alternative_changes_only_what_it_names(plan):
    found = plan(
        PLAN
        + """\
        [effects]
        r = 0.5
        change_scores = "convert"
        [[alternatives]]
        name = "wide"
        priors = { omega = "half_normal(1)" }
        [[alternatives]]
        name = "apart"
        mean = "independent"
        heterogeneity = "common"
        [[alternatives]]
        name = "no correlation"
        r = 0.0
        change_scores = "as_reported"
        """
    )
    wide, apart, uncorrelated = found.alternatives
    assert found.statistical_model(wide).prior_lines() == {
        "mu": "normal(0, 1)",
        "tau": "half_normal(0.5)",
        "omega": "half_normal(1)",
    }
    assert found.options(wide) == found.options()
    separate = found.statistical_model(apart)
    assert (separate.mean, separate.heterogeneity, separate.parameters) == ("independent", "common", ("mu", "tau"))
    assert (found.options(uncorrelated).r, found.options(uncorrelated).change_scores) == (0.0, "as_reported")
    assert found.statistical_model(uncorrelated) == found.statistical_model()


def test_an_alternative_may_derive_its_effects_otherwise(plan):
    found = plan(
        PLAN
        + """\
        [effects]
        r = 0.5
        variance = "UB"
        timepoint = "first"
        [[alternatives]]
        name = "others"
        r = 0.3
        variance = "LS2"
        before_after = "SMCRP"
        timepoint = 6
        shared_control = "split"
        zero_cells = "all"
        [[alternatives]]
        name = "none"
        """
    )
    others, none = (found.options(alternative) for alternative in found.alternatives)
    assert (others.r, others.variance, others.before_after) == (0.3, "LS2", "SMCRP")
    assert (others.timepoint, others.shared_control, others.zero_cells) == (6.0, "split", "all")
    assert (others.measure, others.change_scores) == ("SMD", "refuse")
    assert none == found.options()


def test_a_plan_does_not_change(plan):
    with pytest.raises(ValueError, match="frozen"):
        plan().title = "other"


PRIOR_OF_TAU = 'tau = "half_normal(0.5)"'
ALTERNATIVE = PLAN + '[[alternatives]]\nname = "x"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # keys
        ('titel = "x"\n' + PLAN, "unknown key 'titel'; did you mean 'title'? (keys: title, data, question, notes,"),
        (PLAN + 'bettr = "x"\n', "unknown key 'endpoints.pain.bettr'; did you mean 'better'? (keys: label, better,"),
        (PLAN + '[effects]\nmesure = "SMD"\n', "unknown key 'effects.mesure'; did you mean 'measure'?"),
        (ALTERNATIVE + 'leaveout = ["a"]\n', "leaveout'; did you mean 'leave_out'? (keys: name, why, leave_out, r,"),
        ('path = "x"\n' + PLAN, "unknown key 'path'"),
        ('sha256 = "x"\n' + PLAN, "unknown key 'sha256'"),
        # what is missing
        (changed('title = "T"\n', ""), "'title' is missing"),
        (changed('better = "lower"\n', ""), "'endpoints.pain.better' is missing: choose from lower, higher"),
        (PLAN[: PLAN.index("[endpoints")], "'endpoints' is missing"),
        (changed('rct = "Trials"\ncohort = "Cohorts"\n', ""), "the plan has no stratum: add [strata]"),
        (PLAN[: PLAN.index("[endpoints")] + "[endpoints]\n", "the plan has no endpoint: add [endpoints.name]"),
        (changed('omega = "half_normal(0.25)"\n', ""), "the prior of omega is not stated"),
        (PLAN + '[[alternatives]]\nwhy = "x"\n', "an alternative needs a name"),
        # choices
        (changed('"lower"', '"lowr"'), "endpoints.pain.better = 'lowr': choose from lower, higher; did you mean 'low"),
        (PLAN + '[model]\nmean = "exchangable"\n', "model.mean = 'exchangable': choose from common, exchangeable, ind"),
        (PLAN + '[model]\nheterogeneity = "x"\n', "model.heterogeneity = 'x': choose from common, independent"),
        (PLAN + '[effects]\nchange_scores = "converted"\n', "effects.change_scores = 'converted': choose from refuse,"),
        (
            PLAN + '[effects]\nr = "independant"\n',
            "effects.r = 'independant': neither a correlation between -1 and 1 nor 'independent'",
        ),
        # priors, with their place
        (changed(PRIOR_OF_TAU, 'tau = "half_norml(1)"'), "model.priors.tau: unknown prior 'half_norml': choose from"),
        (changed(PRIOR_OF_TAU, 'tau = "half_normal(-1)"'), "model.priors.tau: half_normal: scale must be > 0 (got -1)"),
        (changed(PRIOR_OF_TAU, "tau = 0.5"), "model.priors.tau: a prior is written as text, such as"),
        (changed(PRIOR_OF_TAU, 'tau = "normal(0, 1)"'), "tau is a standard deviation; normal(0, 1) allows negative"),
        (
            changed(PRIOR_OF_TAU, 'tau = { rtc = "half_normal(1)" }'),
            "prior of tau: unknown stratum 'rtc': choose from rct, cohort; did you mean 'rct'?",
        ),
        (changed('mu = "normal(0, 1)"', 'mu = { rct = "normal(0, 1)" }'), "the prior of mu cannot differ by stratum"),
        (changed("omega =", "sigma ="), "no parameter 'sigma' in this model: it has mu, tau, omega"),
        (ALTERNATIVE + 'priors = { omega = "hlf_normal(1)" }\n', ".priors.omega: unknown prior 'hlf_normal'"),
        (
            ALTERNATIVE + 'priors = { omga = "half_normal(1)" }\n',
            "no parameter 'omga' in this model: it has mu, tau, o",
        ),
        (ALTERNATIVE + 'mean = "common"\npriors = { omega = "half_normal(1)" }\n', "no parameter 'omega' in this mode"),
        # values
        ("seed = -1\n" + PLAN, "seed = -1: "),
        (PLAN + "mid = 0\n", "endpoints.pain.mid = 0: "),
        (PLAN + 'mid = "0.5"\n', "endpoints.pain.mid = '0.5': "),
        (
            PLAN + "[endpoints.pain.published]\nestimate = 1\nci = [2, 3]\n",
            "endpoints.pain.published: the estimate 1.0 must lie inside its interval [2.0, 3.0]",
        ),
        # names
        (ALTERNATIVE + '[[alternatives]]\nname = "x"\n', "two alternatives are called 'x'"),
        # the file
        (PLAN + "x = \n", "plan.toml is not valid TOML: Invalid value (at line 13"),
        ('title = "U"\n' + PLAN, "plan.toml is not valid TOML: Cannot overwrite a value (at line 2"),
    ],
)
def test_a_faulty_plan_is_refused_in_words(refusal, text, message):
    found = refusal(text)
    assert found.startswith("plan.toml")
    assert message in found
    for jargon in ("pydantic", "validation error", "type=", "input_value", "http", "Extra inputs", "Traceback"):
        assert jargon not in found


def test_one_fault_is_one_line(refusal):
    assert "\n" not in refusal(changed('"lower"', '"lowr"'))


def test_every_fault_of_a_plan_is_told_at_once(refusal):
    text = PLAN.replace('better = "lower"', 'bettr = "lower"').replace('title = "T"\n', "")
    lines = refusal(text.replace("half_normal(0.5)", "half_norml(0.5)")).splitlines()
    assert lines[0] == "plan.toml:"
    assert [line.strip().split(";")[0].split(":")[0] for line in lines[1:]] == [
        "'title' is missing",
        "model.priors.tau",
        "[F36] 'endpoints.pain.better' is missing",
        "unknown key 'endpoints.pain.bettr'",
    ]


def test_a_plan_that_is_not_there_is_told_with_the_closest(plan, tmp_path):
    plan()
    with pytest.raises(PlanError, match=r"no plan at .*paln\.toml; did you mean 'plan\.toml'\?"):
        read_plan(tmp_path / "paln.toml")


def test_a_folder_is_not_a_plan(tmp_path):
    with pytest.raises(PlanError, match="is a folder, not a plan, and has none in it"):
        read_plan(tmp_path)


def test_a_plan_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_bytes(PLAN.replace("Pain", "Sch\u00e4den").encode("latin-1"))
    with pytest.raises(PlanError, match=r"plan\.toml is not"):
        read_plan(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAN + '[effects]\nmeasure = "SDM"\n', "effects.measure = 'SDM': choose from SMD, MD, OR, RR, RD, GEN"),
        (PLAN + "[effects]\nr = 1.5\n", "effects.r = 1.5"),
        (PLAN + "[effects]\nr = nan\n", "effects.r = nan"),
        (ALTERNATIVE + "r = 2\n", "r = 2"),
        (changed(PRIOR_OF_TAU, 'tau = { rct = "half_normal(1)" }'), "'cohort'"),
        (changed(PRIOR_OF_TAU, 'tau = "mixture(None, half_normal(1))"'), "model.priors.tau: mixture takes weights"),
        (PLAN + 'unit = "g"\nconvert = { "mg" = 0 }\n', "endpoints.pain.convert.mg = 0"),
        (PLAN + 'convert = { "mg" = 0.001 }\n', "endpoints.pain: convert: say the unit"),
        (PLAN + "[endpoints.pain.published]\nestimate = 1\nci = [0, 2]\nci_level = 0.95\n", "ci_level = 0.95"),
        (ALTERNATIVE + 'priors = { omega = "normal(0, 1)" }\n', "alternative 'x'"),
        (ALTERNATIVE + 'variance = "XX"\n', "alternative 'x': variance = 'XX': SMD has LS, LS2, UB"),
        (ALTERNATIVE + 'timepoint = "lst"\n', "alternative 'x'.timepoint = 'lst': choose from refuse, first, last, or"),
    ],
    ids=[
        "unknown measure",
        "r above 1",
        "r not a number",
        "r of an alternative above 1",
        "tau without a stratum",
        "mixture without weight",
        "factor 0",
        "factor without unit",
        "level 0.95",
        "alternative not named",
        "variance of an alternative",
        "time point of an alternative",
    ],
)
def test_faults_are_refused_in_words(refusal, text, message):
    assert message in refusal(text)


def test_how_the_table_is_read(plan, refusal):
    read = plan(PLAN + '[table]\nsep = ";"\ndecimal = ","\nmissing = ["NR"]\n')
    choices = read.table_format.choices("SMD", ("pain",))
    assert (choices.sep, choices.decimal, choices.missing, choices.outcomes) == (";", ",", ("NR",), ("pain",))
    assert "unknown key 'table.sepp'; did you mean 'sep'?" in refusal(PLAN + '[table]\nsepp = ";"\n')
    assert "choose from '.' and ','" in refusal(PLAN + '[table]\ndecimal = ";"\n')
    assert "did you mean 'table'?" in refusal(PLAN + '[tabel]\nsep = ";"\n')


def test_frequentist_answers_by_name(plan):
    assert plan().classical.methods == ["REML + HKSJ", "DL + Wald", "fixed effect"]
    found = plan(PLAN + '[classical]\nmethods = ["revman 5", "PM+hksj", "RevMan 5"]\n')
    assert found.classical.methods == ["RevMan 5", "PM + HKSJ"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('methods = ["RevMan 4"]', "unknown frequentist answer 'RevMan 4'.*did you mean 'RevMan 5'"),
        ("methods = []", "classical.methods"),
        ('method = ["RevMan 5"]', "unknown key 'classical.method'; did you mean 'methods'"),
        ('methods = "RevMan 5"', "a list \\[...\\] is wanted"),
    ],
)
def test_wrong_frequentist_answers(refusal, section, words):
    assert re.search(words, refusal(f"{PLAN}[classical]\n{section}\n"))


def test_a_biased_mean_and_what_an_alternative_makes_of_it(plan):
    text = PLAN.replace("[model.priors]", '[model]\nmean = "biased"\nreference = "rct"\n[model.priors]').replace(
        'omega = "half_normal(0.25)"', 'bias = "normal(0, 0.5)"'
    )
    others = (
        '[[alternatives]]\nname = "one mean"\nmean = "common"\n'
        '[[alternatives]]\nname = "partial"\nmean = "exchangeable"\npriors = {omega = "half_normal(1)"}\n'
    )
    found = plan(text + others)
    assert found.statistical_model().parameters == ("mu", "tau", "bias")
    common, partial = (found.statistical_model(a) for a in found.alternatives)
    assert (common.parameters, common.reference) == (("mu", "tau"), None)
    assert partial.parameters == ("mu", "tau", "omega")


def test_a_reference_that_is_no_stratum_is_refused(refusal):
    text = PLAN.replace("[model.priors]", '[model]\nmean = "biased"\nreference = "rtc"\n[model.priors]').replace(
        'omega = "half_normal(0.25)"', 'bias = "normal(0, 0.5)"'
    )
    assert "did you mean 'rct'" in refusal(text)


FORM = """likelihood = "exact"
study_effects = "student_t( 4 )"
weights = { cohort = 0.5 }
correlation = "shared"
[model.priors]
r = "uniform(0.2, 0.8)"
baseline = "uniform(0, 1)"
"""


def test_likelihood_study_effects_and_weights(plan):
    text = changed("[model.priors]\n", "[model]\n" + FORM)
    text += '[[alternatives]]\nname = "plain"\nlikelihood = "normal"\nstudy_effects = "normal"\nweights = {}\n'
    found = plan(text)
    model = found.statistical_model()
    assert (model.likelihood, str(model.study_effects), model.weights) == ("exact", "student_t(4)", {"cohort": 0.5})
    assert (model.correlation, str(model.prior("baseline"))) == ("shared", "uniform(0, 1)")
    other = found.statistical_model(found.alternatives[0])
    assert (other.likelihood, str(other.study_effects), other.weights) == ("normal", "normal", {})
    assert "baseline" not in other.priors
    assert str(other.prior("r")) == "uniform(0.2, 0.8)"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('likelihood = "exakt"', "did you mean 'exact'"),
        ('study_effects = "student(4)"', "did you mean 'student_t'"),
        ('study_effects = "student_t(0.5)"', "degrees of freedom of 1 or more"),
        ('study_effects = "contaminated(2, 5)"', "a share between 0 and 1"),
        ("weights = { cohort = 1.5 }", "between 0 (left out)"),
        ("weights = { cohorts = 0.5 }", "did you mean 'cohort'"),
        ('correlation = "common"', "choose from own, shared"),
    ],
)
def test_wrong_forms_are_refused_in_words(refusal, line, words):
    assert words in refusal(changed("[model.priors]\n", f"[model]\n{line}\n[model.priors]\n"))
