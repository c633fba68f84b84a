"""A report where the fit is, and nouns that show themselves."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import metastrata as ms
from metastrata.evidence.notebook import html_table
from metastrata.reporting.check import marked, wrong_numbers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def effects() -> ms.Effects:
    return ms.Effects.from_estimates(
        [-0.4, -0.7, -0.2, -0.0001], [0.2, 0.3, 0.2, 0.3], study=["A <b>", "B", "C", "D"],
        stratum=["rct", "rct", "sc", "sc"], endpoint="pain / day", better="lower",
    )  # fmt: skip


@pytest.fixture(scope="module")
def fit(effects: ms.Effects) -> ms.Fit:
    priors = {"mu": "normal(0, 1)", "tau": {"rct": "half_normal(0.5)", "sc": "half_normal(1)"}}
    model = ms.Model(priors={**priors, "omega": "half_normal(0.5)"})
    return ms.fit(model, effects, engine="exact", draws=200)


@pytest.fixture(scope="module")
def page(fit: ms.Fit) -> ms.Report:
    published = {"estimate": -0.5, "ci": (-0.8, -0.2), "source": "Liu"}
    return ms.report(fit, title="<Pain>", labels={"rct": "Trials"}, mid=0.2, published=published)


def test_a_report_of_a_fit(page: ms.Report, fit: ms.Fit) -> None:
    assert "&lt;Pain&gt;" in page.html
    assert "pain / day" in page.html
    assert 'id="endpoint-pain_day"' in page.html
    assert re.search(r"Published, <span[^>]*>Liu<", page.html)
    assert len(marked(page.html)) > 100
    assert wrong_numbers(page.html, page.results) == []
    mean = next(r for r in page.results["endpoints"]["pain_day"]["summary"] if r["stratum"] == "rct")["mean"]
    assert mean == pytest.approx(fit.marginal("mu_stratum", "rct").mean)


def test_it_shows_itself_in_a_frame(page: ms.Report) -> None:
    shown = page._repr_html_()
    assert shown.startswith('<iframe title="metastrata report" srcdoc="&lt;!DOCTYPE html&gt;')
    assert shown.count('"') == 6  # nothing of the page ends the attribute


def test_it_saves_itself(page: ms.Report, tmp_path: Path) -> None:
    for kind in ("html", "docx", "pdf", "qmd"):
        assert page.save(tmp_path / f"pain.{kind}").stat().st_size > 1000
    with pytest.raises(ms.InputError, match="unknown format 'txt'"):
        page.save(tmp_path / "pain.txt")


@pytest.mark.parametrize(("status", "mark"), [("unreliable", "NOT RELIABLE"), ("incomplete", "INCOMPLETE")])
def test_an_unreliable_or_partial_fit_is_refused_or_watermarked(fit: ms.Fit, status: str, mark: str) -> None:
    bad = replace(fit, diagnostics=replace(fit.diagnostics, status=status, reasons=("3 divergences",)))
    with pytest.raises(ms.ReportError, match=rf"this fit is {status} \(3 divergences\)"):
        ms.report(bad)
    page = ms.report(bad, allow_unreliable="a look")
    assert f'class="watermark" aria-hidden="true">{mark}: a look<' in page.html


def test_the_direction_must_be_known() -> None:
    effects = ms.Effects.from_estimates([-0.4, -0.7], [0.2, 0.3])
    model = ms.Model(mean="common", priors={"mu": "normal(0, 1)", "tau": "half_normal(0.5)"})
    fit = ms.fit(model, effects, engine="exact", draws=200)
    with pytest.raises(ms.InputError, match="which direction is better"):
        ms.report(fit)
    assert "probability of benefit" in ms.report(fit, better="lower").html


def test_an_unknown_label(fit: ms.Fit) -> None:
    with pytest.raises(ms.InputError, match="unknown stratum 'rtc'"):
        ms.report(fit, labels={"rtc": "Trials"})


def test_nouns_show_themselves(effects: ms.Effects, fit: ms.Fit) -> None:
    shown = effects._repr_html_()
    assert "A &lt;b&gt;" in shown
    assert "<b>" not in shown
    assert ">0.000<" in shown  # -0.0001, without a minus
    assert "mu[s] ~ normal(mu, omega)" in fit.model._repr_html_()
    assert fit._repr_html_().startswith("<p>Fit pain / day, 4 studies in 2 strata, exact, reliable</p>")


def test_tables_show_themselves_and_stay_tables(fit: ms.Fit) -> None:
    import pandas as pd

    for table in (ms.summary(fit, mid=0.2), ms.compare(fit)):
        assert isinstance(table, pd.DataFrame)
        shown = table._repr_html_()
        assert not re.search(r"\d\.\d{5}", shown)
        assert "nan" not in shown.casefold()
        assert "-0.00<" not in shown
        assert type(table[table.columns[:3]]) is pd.DataFrame


def test_html_table() -> None:
    assert html_table(["a"], [[True], [None], [float("nan")]]).count("<td") == 3


def test_the_marimo_notebook_runs_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "lupus.py")], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Fit sledai, 4 studies in 2 strata, exact, reliable" in done.stdout
    assert "report of" in done.stdout
