"""The checker of a page's numbers: it must see a wrong digit, and accept every way a number is printed."""

import json
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.reporting.check import agrees, marked, wrong_numbers
from metastrata.reporting.html import ReportError, report_html
from metastrata.reporting.record import Node, lookup

Finished = tuple[ms.RunResult, Path, list[str]]


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("\u22121.27", -1.2748),
        ("0.00", -0.0049),
        ("3,445", 3444.58),
        ("> 0.999", 0.99956),
        ("less than 0.001", 0.0002),
        ("62 %", 0.6183),
        ("< 1 %", 0.004),
        ("0.5", 0.5),
        ("Deng 2017", "Deng 2017"),
        ("1838624622", 1838624622),
    ],
)
def test_agrees(shown: str, value: object) -> None:
    assert agrees(shown, value)


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("\u22121.28", -1.2748),
        ("1.27", -1.2748),
        ("> 0.999", 0.998),
        ("less than 0.001", 0.01),
        ("63 %", 0.6183),
        ("Deng 2018", "Deng 2017"),
        ("0.5", None),
        ("1", True),
    ],
)
def test_disagrees(shown: str, value: object) -> None:
    assert not agrees(shown, value)


def test_every_number_of_the_report_is_marked_and_right(finished: Finished) -> None:
    _, out, _ = finished
    page = (out / "report.html").read_text(encoding="utf-8")
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert len(marked(page)) > 300
    assert wrong_numbers(page, content) == []


def test_a_wrong_digit_is_found(finished: Finished) -> None:
    _, out, _ = finished
    page = (out / "report.html").read_text(encoding="utf-8")
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    content["endpoints"]["sledai"]["summary"][0]["mean"] += 0.01
    wrong = wrong_numbers(page, content)
    assert wrong
    assert all("/endpoints/sledai/summary/0/mean" in line for line in wrong)
    del content["title"]
    assert any("not there" in line for line in wrong_numbers(page, content))


def test_a_report_that_lies_is_not_handed_out(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "num", lambda self, digits=2: self.shown("0.12"))
    with pytest.raises(ReportError, match=r"does not say what results\.json says"):
        report_html(finished[1])


def test_places_with_odd_names() -> None:
    content = {"a/b": {"c~d": [1.5]}}
    node = Node(content)["a/b"]["c~d"][0]
    assert lookup(content, node.path) == 1.5
    with pytest.raises(KeyError):
        lookup(content, "/a/b")


@pytest.mark.parametrize(
    ("value", "text"), [(0.9999, "> 99 %"), (1.0, "100 %"), (0.001, "< 1 %"), (0.0, "0 %"), (0.123, "12 %")]
)
def test_percentages_claim_no_certainty(value: float, text: str) -> None:
    assert Node(value).per_cent()[0].text == text  # type: ignore[union-attr]
