"""The checklists claim only what is there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import metastrata as ms
from metastrata.model.reporting_items import BARG, GUIDELINES, ITEMS, PRISMA, ROBUST
from metastrata.reporting.answers import answers
from metastrata.reporting.document import plain_text
from metastrata.reporting.record import Node
from metastrata.reporting.sections import checklist, findings
from metastrata.reporting.sections.source import Source

Finished = tuple[ms.RunResult, Path, list[str]]


@pytest.fixture
def content(finished: Finished) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((finished[1] / "results.json").read_text(encoding="utf-8"))
    return found


def test_the_items_are_all_there() -> None:
    assert len(PRISMA) == 42  # 27 items of PRISMA 2020 with their parts
    assert len(ROBUST) == 7
    assert len(BARG) == 30
    assert sum(map(len, GUIDELINES.values())) == len(ITEMS)


def test_answers_are_to_items_only(content: dict[str, Any]) -> None:
    assert set(answers(Source(Node(content), Path()))) <= set(ITEMS)


def test_anchors_lead_somewhere(finished: Finished) -> None:
    page = (finished[1] / "report.html").read_text(encoding="utf-8")
    for anchor in set(re.findall(r'href="#([^"]+)"', page)):
        assert f'id="{anchor}"' in page, anchor


def test_what_was_not_done_is_not_claimed(content: dict[str, Any]) -> None:
    full = answers(Source(Node(content), Path()))
    assert {"PRISMA 13f", "PRISMA 20d", "PRISMA 13c", "BARG 2B", "BARG 6E", "BARG 1E"} <= set(full)
    assert not {"BARG A", "PRISMA 7", "PRISMA 18", "PRISMA 24a", "PRISMA 15", "ROBUST 2"} & set(full)
    content["plan"]["alternatives"] = []
    content["figures"] = []
    content["plan"]["file"] = ""
    content["endpoints"]["sledai"]["status"] = "unreliable"
    less = answers(Source(Node(content), Path()))
    assert not {"PRISMA 13f", "PRISMA 20d", "PRISMA 13c", "BARG 2B", "BARG 2C", "BARG 6E"} & set(less)


def test_not_done_is_shown_and_the_plan_may_answer(content: dict[str, Any]) -> None:
    content["plan"]["checklist"] = {"PRISMA 7": "Appendix 2 of the paper"}
    section = checklist.build(Source(Node(content), Path()))
    table = section.blocks[-1].blocks[0]  # type: ignore[union-attr]
    said = {plain_text(row[0]): plain_text(row[2]) for row in table.rows}  # type: ignore[union-attr]
    assert said["PRISMA 7"] == "Appendix 2 of the paper"
    assert said["PRISMA 24a"] == "NOT DONE"


def test_summary_of_findings(content: dict[str, Any]) -> None:
    endpoint = content["endpoints"]["sledai"]
    assert endpoint["strata"] == {"rct": {"k": 2, "participants": 30}, "self_controlled": {"k": 2, "participants": 24}}
    endpoint["certainty"] = {"rct": {"level": "low", "reasons": "two small trials"}}
    section = findings.build(Source(Node(content), Path()))
    assert section is not None
    rows = [[plain_text(cell) for cell in row] for row in section.blocks[0].rows]  # type: ignore[union-attr]
    assert rows[0][0].startswith("SLEDAI")
    assert rows[0][2] == "2 (30)"
    assert rows[0][-1].startswith("low")
    assert rows[1][-1] == "NOT RATED"
    assert rows[2][3].endswith("one study, not pooled")


def test_a_plan_with_scale_responders_and_certainty(plan_path: Path, tmp_path: Path) -> None:
    text = plan_path.read_text(encoding="utf-8")
    (tmp_path / "table.csv").write_text((plan_path.parent / "table.csv").read_text(encoding="utf-8"), encoding="utf-8")
    more = """
formats = ["html", "tables"]
[checklist]
"BARG A" = "Two small strata: partial pooling"
[endpoints.sledai.scale]
name = "SLEDAI points"
sd = 4
source = "an assumption"
[endpoints.sledai.responders]
control_risk = 0.3
source = "an assumption too"
[endpoints.sledai.certainty]
self_controlled = { level = "very low", reasons = "no control group" }
"""
    head, tail = text.split("[effects]", 1)
    formats, rest = more.strip().split("\n", 1)
    plan = tmp_path / "p.toml"
    plan.write_text(f"{head}{formats}\n[effects]{tail}\n{rest}\n", encoding="utf-8")
    ms.run(plan, tmp_path / "out", engine="exact", draws=100)
    rows = (tmp_path / "out" / "tables" / "findings.csv").read_text(encoding="utf-8").splitlines()
    assert "SLEDAI points" in rows[1]
    assert "30 %; " in rows[1]
    assert "very low no control group" in rows[2]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Two small strata: partial pooling" in page
    assert "One threshold".casefold() in page.casefold()


@pytest.mark.parametrize(
    ("add", "words"),
    [
        ('[checklist]\n"PRISMA 99" = "x"', "no item 'PRISMA 99'"),
        ('[endpoints.sledai.scale]\nname = "points"\nsd = -1\nsource = "x"', "endpoints.sledai.scale.sd = -1"),
        ('[endpoints.sledai.scale]\nname = "points"\nsd = 4', "'endpoints.sledai.scale.source' is missing"),
        ('[endpoints.sledai.responders]\ncontrol_risk = 1.5\nsource = "x"', "control_risk = 1.5"),
        ('[endpoints.sledai.certainty]\nrtc = { level = "low", reasons = "x" }', "did you mean 'rct'"),
        ('[endpoints.sledai.certainty]\nrct = { level = "good", reasons = "x" }', "choose from high, moderate, low"),
    ],
)
def test_a_wrong_plan(plan_path: Path, tmp_path: Path, add: str, words: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(plan_path.read_text(encoding="utf-8") + "\n" + add + "\n", encoding="utf-8")
    with pytest.raises(ms.PlanError, match=words.replace(".", r"\.")):
        ms.read_plan(path)


def test_points_want_a_standardised_effect(plan_path: Path, tmp_path: Path) -> None:
    text = plan_path.read_text(encoding="utf-8").replace('measure = "SMD"', 'measure = "MD"')
    (tmp_path / "p.toml").write_text(
        f'{text}[endpoints.c3.scale]\nname = "x"\nsd = 4\nsource = "x"\n', encoding="utf-8"
    )
    with pytest.raises(ms.PlanError, match="come from standardised effects; the measure is MD"):
        ms.read_plan(tmp_path / "p.toml")
