"""RevMan files made by hand: the Cochrane data package and .rm5, and their pooled numbers, equal to metafor's.

Pooled by DerSimonian-Laird with metafor 3.8.1: ``rma(yi, vi, method = "DL")`` on ``escalc("SMD")`` of dat.normand1999
and ``escalc("RR")`` of dat.bcg, the latter also by ``alloc``.
"""

import contextlib
import csv
import io
import zipfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metastrata.errors import InputError, MetastrataError
from metastrata.evidence.effects import effect_sizes
from metastrata.evidence.studies import load_studies, read_studies
from metastrata.evidence.tables import TableChoices
from metastrata.frequentist.answers import classical

ROOT = Path(__file__).resolve().parent.parent.parent
SMD, RR = (-0.5307373106, 0.2592186057, 0.5397143748), (-0.7141172221, 0.1787420895, 0.3087602629)
RR_BY_ALLOCATION = {
    "random": (-1.0041613540, 0.3621067987, 0.7630627544),
    "alternate": (-0.5407929618, 0.2816016131, 0.1325770399),
    "systematic": (-0.4393465800, 0.3133379136, 0.2849706818),
}
COLUMNS = [
    "Analysis group", "Analysis number", "Analysis name", "Subgroup", "Applicability", "Study", "Study year",
    "GIV Mean", "GIV SE", "Experimental mean", "Experimental SD", "Experimental cases", "Experimental N",
    "Control mean", "Control SD", "Control cases", "Control N", "O-E", "Variance", "Weight", "Mean", "CI start",
    "CI end", "Footnotes",
]  # fmt: skip
SETTINGS = ["Analysis group", "Analysis number", "Analysis name", "Analysis group name", "Data type", "Effect measure",
            "Graph label (left)", "Swap event and non-event"]  # fmt: skip
OUTCOMES = {
    "1.1": ("Length of stay", "CONT", "SMD"),
    "1.2": ("Tuberculosis", "DICH", "RR"),
    "2.1": ("Tuberculosis, adjusted", "IV", "RR"),
    "2.2": ("Survival", "IPD", "HR"),
}
WORDS = {"CONT": "Continuous", "DICH": "Dichotomous", "IV": "Contrast level", "IPD": "O-E and variance"}
EFFECTS = {"SMD": "Std. Mean Difference", "RR": "Risk Ratio", "HR": "Hazard Ratio"}


def numbers(name):
    with (ROOT / "data" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def entries():
    """Study rows by outcome: study, subgroup, and the numbers by our column names."""
    trials = effect_sizes(read_studies(ROOT / "data" / "bcg.csv"), "RR").items
    return {
        "1.1": [(row["study"], "", row) for row in numbers("normand1999")],
        "1.2": [(row["study"], row["design"], row) for row in numbers("bcg")],
        "2.1": [(item.study, "", {"y": repr(item.y), "se": repr(item.se)}) for item in trials],
        "2.2": [("Aronson 1948", "", {})],
    }


def csv_text(rows):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\r\n").writerows(rows)
    return "\ufeff" + stream.getvalue()


def package_files(entries, change=lambda row: None):
    names = {"n_treated": "Experimental N", "mean_treated": "Experimental mean", "sd_treated": "Experimental SD",
             "events_treated": "Experimental cases", "n_control": "Control N", "mean_control": "Control mean",
             "sd_control": "Control SD", "events_control": "Control cases", "y": "GIV Mean",
             "se": "GIV SE"}  # fmt: skip
    rows = []
    for number, found in entries.items():
        group, analysis = number.split(".")
        for study, subgroup, values in found:
            row = dict.fromkeys(COLUMNS, "0.0") | {"Analysis group": group, "Analysis number": analysis, "Study": study,
                                                  "Analysis name": OUTCOMES[number][0], "Subgroup": subgroup,
                                                  "Study year": "1999", "Footnotes": ""}  # fmt: skip
            row |= {theirs: values[ours] for ours, theirs in names.items() if values.get(ours)}
            change(row)
            rows.append(list(row.values()))
    chosen = [[*number.split("."), label, "Comparison", WORDS[kind], EFFECTS[effect], "Favours vaccine", "false"]
              for number, (label, kind, effect) in OUTCOMES.items()]  # fmt: skip
    bias = [["Study", "Domain (judgement): Allocation concealment (selection bias)", "Domain (support): Allocation"],
            ["Aronson 1948", "High risk", "by turns, <p>as printed</p>"]]  # fmt: skip
    return {
        "CD1-analysis-data/CD1-data-rows.csv": csv_text([COLUMNS, *rows]),
        "CD1-analysis-data/CD1-overall-estimates-and-settings.csv": csv_text([SETTINGS, *chosen]),
        "CD1-study-data/CD1-risk-of-bias.csv": csv_text(bias),
    }


def zipped(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def rm5_text(entries):
    theirs = {"n_treated": "TOTAL_1", "n_control": "TOTAL_2", "mean_treated": "MEAN_1", "mean_control": "MEAN_2",
              "sd_treated": "SD_1", "sd_control": "SD_2", "events_treated": "EVENTS_1", "events_control": "EVENTS_2",
              "y": "ESTIMATE", "se": "SE"}  # fmt: skip
    names = sorted({study for found in entries.values() for study, _, _ in found})
    parts = {}
    for number, (label, kind, effect) in OUTCOMES.items():
        groups = {}
        for study, subgroup, values in entries[number]:
            cells = " ".join(f'{theirs[k]}="{v}"' for k, v in values.items() if k in theirs and v)
            row = f'<{kind}_DATA ESTIMABLE="YES" STUDY_ID="STD-{names.index(study)}" {cells}/>'
            groups.setdefault(subgroup, []).append(row)
        rows = "".join(
            f'<{kind}_SUBGROUP NO="1"><NAME>{name}</NAME>{"".join(found)}</{kind}_SUBGROUP>' if name else "".join(found)
            for name, found in groups.items()
        )
        parts[number] = (
            f'<{kind}_OUTCOME NO="{number[2]}" EFFECT_MEASURE="{effect}"><NAME>{label}</NAME>'
            "<GROUP_LABEL_1>Vaccine</GROUP_LABEL_1><GRAPH_LABEL_1>Favours vaccine</GRAPH_LABEL_1>"
            f"{rows}</{kind}_OUTCOME>"
        )
    studies = "".join(f'<STUDY ID="STD-{i}" NAME={quoteattr(n)} YEAR="1999"/>' for i, n in enumerate(names))
    quality = (
        '<QUALITY_ITEM ID="QIT-1"><NAME>Allocation concealment (selection bias)</NAME><QUALITY_ITEM_DATA>'
        f'<QUALITY_ITEM_DATA_ENTRY RESULT="NO" STUDY_ID="STD-{names.index("Aronson 1948")}"/>'
        "</QUALITY_ITEM_DATA></QUALITY_ITEM>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><COCHRANE_REVIEW><STUDIES_AND_REFERENCES>'
        f"{studies}</STUDIES_AND_REFERENCES><QUALITY_ITEMS>{quality}</QUALITY_ITEMS><ANALYSES_AND_DATA>"
        f'<COMPARISON NO="1"><NAME>Comparison</NAME>{parts["1.1"]}{parts["1.2"]}</COMPARISON>'
        f'<COMPARISON NO="2"><NAME>Second</NAME>{parts["2.1"]}{parts["2.2"]}</COMPARISON>'
        "</ANALYSES_AND_DATA></COCHRANE_REVIEW>"
    )


@pytest.fixture(params=["zip", "rm5"])
def review(request, tmp_path, entries):
    """The same review as a data package and as .rm5."""
    path = tmp_path / f"review.{request.param}"
    path.write_bytes(zipped(package_files(entries)) if request.param == "zip" else rm5_text(entries).encode())
    return path


def pooled(path, measure, outcome, stratum=None):
    effects = effect_sizes(read_studies(path, measure=measure, outcomes=[outcome]), measure)
    found = classical(effects.stratum(stratum) if stratum else effects, "DL", "Wald")
    return found.estimate, found.se, found.tau2


@pytest.mark.parametrize(
    ("measure", "outcome", "gold"), [("SMD", "1.1", SMD), ("RR", "1.2", RR), ("RR", "2.1", RR), ("GEN", "2.1", RR)]
)
def test_pooled_numbers_are_those_of_metafor(review, measure, outcome, gold):
    assert pooled(review, measure, outcome) == pytest.approx(gold, abs=1e-9)


@pytest.mark.parametrize("stratum", RR_BY_ALLOCATION)
def test_subgroups_are_strata(review, stratum):
    assert pooled(review, "RR", "1.2", stratum) == pytest.approx(RR_BY_ALLOCATION[stratum], abs=1e-9)


def test_a_review_read_without_a_measure_has_all_outcomes_that_can_be_analysed(review):
    studies = read_studies(review)
    assert studies.endpoints == ("1.1", "1.2", "2.1")
    row = next(row for row in studies.rows if row.text("study") == "Aronson 1948")
    assert row.text("outcome_label") == "Tuberculosis"
    assert (row.text("outcome_type"), row.text("effect_measure")) == ("dichotomous", "RR")
    assert row.value("year") == 1999
    assert row.text("rob_allocation_concealment") == "High risk"
    assert any(note.message.startswith("outcome 2.2 is O - E and variance") for note in studies.notes)


def test_f11_an_outcome_that_cannot_give_the_measure_is_refused_and_the_rest_listed(review):
    _, faults = load_studies(review, TableChoices(measure="SMD", outcomes=("1.1", "1.2", "2.1")))
    assert [fault.message for fault in faults] == [
        "outcome 1.2 is dichotomous; only continuous or generic inverse variance can give SMD. Those that can be used: "
        "1.1 Length of stay (continuous, SMD)",
        "outcome 2.1 is generic inverse variance with the effect measure 'RR', not SMD. Those that can be used: "
        "1.1 Length of stay (continuous, SMD)",
    ]


def test_f11_outcomes_not_asked_for_are_passed_over_with_a_note(review):
    studies = read_studies(review, measure="SMD")
    assert studies.endpoints == ("1.1",)
    assert [n.endpoint for n in studies.notes if n.severity == "warn"] == ["1.2", "2.1", "2.2"]


def test_an_outcome_that_is_not_there_is_told_with_those_that_are(review):
    _, faults = load_studies(review, TableChoices(outcomes=("1.1", "1.3")))
    assert faults[0].message.startswith("the file has no outcome '1.3'; did you mean '1.")
    assert "2.2 Survival (O - E and variance, HR)" in faults[0].message


def test_a_review_without_a_usable_outcome_is_refused(review):
    with pytest.raises(InputError, match=r"no data rows: outcome 2\.2 is O - E and variance"):
        read_studies(review, outcomes=["2.2"])


def test_a_cell_of_a_package_is_told_with_its_line(tmp_path, entries):
    def change(row):
        if row["Study"] == "Edinburgh":
            row["Experimental SD"] = "-47"

    path = tmp_path / "review.zip"
    path.write_bytes(zipped(package_files(entries, change)))
    _, (fault,) = load_studies(path)
    assert str(fault) == "row 2, column 'sd_treated' (Edinburgh): '-47' is negative: a standard deviation cannot be"


def test_rows_that_revman_does_not_use_are_left_out_with_the_reason(tmp_path, entries):
    def change(row):
        if row["Study"] == "Edinburgh":
            row["Control N"] = "0"

    total = {**entries, "1.2": [*entries["1.2"], ("Aronson 1948", "", entries["1.2"][0][2])]}
    path = tmp_path / "review.zip"
    path.write_bytes(zipped(package_files(total, change)))
    reasons = [(row.text("study"), row.excluded) for row in read_studies(path).rows if row.excluded]
    assert reasons == [
        ("Edinburgh", "no patients in an arm"),
        ("Aronson 1948", "RevMan uses this row for the total only; the study's rows in the subgroups are taken"),
    ]


def test_an_entry_that_is_not_estimable_is_left_out(tmp_path, entries):
    path = tmp_path / "review.rm5"
    path.write_text(rm5_text(entries).replace('ESTIMABLE="YES"', 'ESTIMABLE="NO"', 1), encoding="utf-8")
    assert [row.excluded for row in read_studies(path).rows if row.excluded] == ["RevMan marks it as not estimable"]


def test_swapped_events_and_the_label_of_the_figure_are_told(tmp_path, entries):
    path = tmp_path / "review.rm5"
    text = rm5_text(entries).replace("<DICH_OUTCOME", '<DICH_OUTCOME SWAP_EVENTS="YES"')
    path.write_text(text, encoding="utf-8")
    told = {note.message for note in read_studies(path, outcomes=["1.2"]).notes}
    assert "RevMan swaps events and non-events of this outcome; metastrata takes the events as entered" in told
    assert "the forest plot has 'Favours vaccine' on its left: lower is better, if the label is right" in told


def test_a_package_inside_the_folder_of_an_article_is_found(tmp_path, entries):
    path = tmp_path / "review.zip"
    path.write_bytes(zipped({"CD1/CD1-files/CD1-data.zip": zipped(package_files(entries)), "CD1/article.pdf": b"%PDF"}))
    assert len(read_studies(path, outcomes=["1.1"])) == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f | {"../../evil.txt": "x"}, "the entry '../../evil.txt' leads out of the archive"),
        (lambda f: f | {"/etc/evil": "x"}, "leads out of the archive"),
        (lambda f: f | {"c:\\evil": "x"}, "leads out of the archive"),
        (lambda f: f | {"big.bin": b"\0" * 150_000_000}, "would unpack to 150 MB"),
        (lambda f: f | {"CD1-analysis-data/CD1-parameters.csv": ""}, "a review of diagnostic test accuracy"),
        (lambda f: {"data.csv": "study"}, "is no Cochrane data package: one ...-data-rows.csv"),
        (lambda f: f | {"CD2-data-rows.csv": ""}, "is no Cochrane data package"),
        (lambda f: f | {"CD1-analysis-data/CD1-data-rows.csv": ""}, "has no column 'Analysis group' (found: nothing)"),
        (lambda f: f | {"CD1-analysis-data/CD1-data-rows.csv": b"\xff\xfe"}, "is not UTF-8"),
        (lambda f: f | {"CD1-study-data/CD1-risk-of-bias.csv": 'Study\n"'}, "is not a CSV file"),
    ],
)
def test_f12_a_hostile_or_damaged_package_is_refused(tmp_path, entries, change, message):
    path = tmp_path / "review.zip"
    path.write_bytes(zipped(change(package_files(entries))))
    with pytest.raises(InputError) as error:
        read_studies(path)
    assert message in str(error.value)


BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BOMB}<COCHRANE_REVIEW>&b;</COCHRANE_REVIEW>", "declares XML entities (EntitiesForbidden)"),
        (f"{EXTERNAL}<COCHRANE_REVIEW>&a;</COCHRANE_REVIEW>", "declares XML entities (EntitiesForbidden)"),
        ("<COCHRANE_REVIEW>", "is not XML that can be read"),
        ("", "is not XML that can be read"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "is not XML that can be read"),
        ("<html/>", "is no RevMan 5 file with analyses (its outermost tag is <html>)"),
        ("<COCHRANE_REVIEW><ANALYSES_AND_DATA/></COCHRANE_REVIEW>", "no analyses (0 outcomes)"),
    ],
)
def test_f12_a_hostile_or_malformed_rm5_is_refused(tmp_path, text, message):
    path = tmp_path / "review.rm5"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_studies(path)
    assert message in str(error.value)


LENIENT = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@LENIENT
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 10_000))
def test_no_damaged_review_gives_an_error_that_is_not_ours(review, place, byte, cut):
    data = bytearray(review.read_bytes())
    data[place % len(data)] = byte
    damaged = review.with_name("damaged" + review.suffix)
    damaged.write_bytes(bytes(data[: -(cut % len(data)) or None] if cut % 3 == 0 else data))
    with contextlib.suppress(MetastrataError):
        read_studies(damaged)


@LENIENT
@given(data=st.binary(max_size=100), ending=st.sampled_from(["zip", "rm5"]))
def test_no_bytes_give_an_error_that_is_not_ours(tmp_path, data, ending):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(data)
    with contextlib.suppress(MetastrataError):
        read_studies(path)
