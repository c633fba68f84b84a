"""The report as a reader meets it: on a phone, on a laptop, on paper, by keyboard, without JavaScript.

uv run --group browser pytest -m browser tests/browser
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
PHONE, LAPTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
PAPER = {"width": 703, "height": 1000}  # A4 without its margins, in CSS pixels
OUTSIDE = """limit => [...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && (box.right > limit + 1 || box.left < -1) && !e.closest('.scroll, figure, pre, .skip, .watermark');
}).map(e => e.tagName + ' ' + e.textContent.trim().slice(0, 60))"""
CUT = """() => [...document.querySelectorAll('.explorer svg')].flatMap(svg => {
  const box = svg.viewBox.baseVal;
  return [...svg.querySelectorAll('text')].filter(t => {
    const b = t.getBBox();
    return b.x < 0 || b.x + b.width > box.width || b.y + b.height > box.height;
  }).map(t => t.textContent);
})"""
OVERLAP = """() => [...document.querySelectorAll('.explorer svg')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBBox()]);
  return boxes.flatMap(([s, a], i) => boxes.slice(i + 1).filter(([, b]) =>
    a.x < b.x + b.width - 1 && b.x < a.x + a.width - 1 && a.y < b.y + b.height - 3 && b.y < a.y + a.height - 3
  ).map(([t]) => s + ' / ' + t));
})"""


class Visit:
    """A page that was opened, with everything that went wrong in it and everything it asked the network for."""

    def __init__(self, browser: Any, folder: Path, **choices: Any):
        self.page = browser.new_page(**{"viewport": LAPTOP, **choices})
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda r: None if r.url.startswith("data:") else self.requests.append(r.url))
        self.page.goto((folder / "report.html").as_uri(), timeout=120_000)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, *error: object) -> None:
        self.page.close()
        if error[0] is None:
            assert self.problems == []
            assert len(self.requests) == 1  # the file itself


@pytest.mark.parametrize("viewport", [PHONE, LAPTOP], ids=["phone", "laptop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off(chromium: Any, folder: Path, viewport: dict[str, int], scheme: str) -> None:
    with Visit(chromium, folder, viewport=viewport, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert page.evaluate(OUTSIDE, viewport["width"]) == []
        assert page.evaluate(CUT) == []
        assert page.evaluate(OVERLAP) == []
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 50)")


def test_on_paper_everything_is_open_and_inside(chromium: Any, folder: Path) -> None:
    with Visit(chromium, folder, viewport=PAPER) as page:
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
        wide = "[...document.querySelectorAll('table, img, svg')].filter(e => e.getBoundingClientRect().right > 705)"
        assert page.evaluate(f"{wide}.map(e => e.textContent.slice(0, 80))") == []
        assert page.evaluate(
            "[...document.querySelectorAll('details table')].every(t => t.getBoundingClientRect().height > 10)"
        )
        assert not page.locator("nav").is_visible()
        assert len(page.pdf(format="A4")) > 50_000


def test_the_slider_moves_the_means_to_what_the_results_say(
    chromium: Any, folder: Path, results: dict[str, Any]
) -> None:
    with Visit(chromium, folder) as page:
        for name, endpoint in results["endpoints"].items():
            if not endpoint["omega_sweep"]:
                continue
            explorer = page.locator(f'.explorer[data-endpoint="{name}"]')
            slider, says = explorer.locator("input"), explorer.locator(".says")
            before = explorer.locator(".mean circle").first.get_attribute("cx")
            assert "This analysis" in says.inner_text()
            slider.focus()
            page.keyboard.press("End")
            assert "separate strata" in says.inner_text()
            for stratum in endpoint["strata"]:
                row = next(r for r in endpoint["omega_sweep"] if r["omega"] == "infinity" and r["stratum"] == stratum)
                shown = f"{row['mean']:.2f} [{row['eti95_lower']:.2f}, {row['eti95_upper']:.2f}]".replace("-", "\u2212")
                shown = shown.replace("\u22120.00", "0.00")
                assert shown in says.inner_text()
                assert explorer.locator(f'.mean[data-stratum="{stratum}"] .value').text_content() == shown
            page.keyboard.press("Home")
            assert "one common mean (pooling factor 1.00)" in says.inner_text()
            circles = explorer.locator(".mean circle")
            places = {circles.nth(i).get_attribute("cx") for i in range(circles.count())}
            assert len({round(float(p), 3) for p in places if p}) == 1  # one common mean: the circles stand together
            explorer.locator("button").click()
            assert explorer.locator(".mean circle").first.get_attribute("cx") == before


def test_a_study_tells_its_derivation_by_mouse_and_by_keyboard(chromium: Any, folder: Path) -> None:
    with Visit(chromium, folder) as page:
        explorer = page.locator(".explorer").first
        studies, about = explorer.locator(".study"), explorer.locator(".about")
        studies.nth(0).hover()
        assert about.inner_text() == studies.nth(0).get_attribute("aria-label")
        studies.nth(0).focus()
        page.keyboard.press("Tab")
        assert about.inner_text() == studies.nth(1).get_attribute("aria-label")


def test_the_annex_opens_by_keyboard(chromium: Any, folder: Path) -> None:
    with Visit(chromium, folder) as page:
        annex = page.locator("#diagnostics details").first
        assert not annex.locator("img, table").first.is_visible()
        annex.locator("summary").focus()
        page.keyboard.press("Enter")
        assert annex.locator("img, table").first.is_visible()


def test_without_javascript(chromium: Any, folder: Path) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport=LAPTOP)
    page = context.new_page()
    page.goto((folder / "report.html").as_uri(), timeout=120_000)
    assert page.locator(".explorer .mean .value").first.is_visible()
    assert not page.locator(".explorer .controls").first.is_visible()
    assert page.locator("#results li").first.is_visible()
    annex = page.locator("#diagnostics details").first
    annex.locator("summary").click()
    assert annex.locator("img, table").first.is_visible()
    context.close()


def test_the_first_tab_skips_to_the_results(chromium: Any, folder: Path) -> None:
    with Visit(chromium, folder) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(chromium: Any, folder: Path, tools: Path, scheme: str) -> None:
    """axe-core: WCAG 2.2 A and AA and its best practices, with everything unfolded."""
    axe = (tools / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    with Visit(chromium, folder, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")
        said = [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]]
        assert said == []
        assert len(found["passes"]) > 20


def test_html_is_valid(folder: Path, tools: Path, tmp_path: Path) -> None:
    """html-validate with its recommended and accessibility rules."""
    rules = {
        "no-inline-style": "off",  # the colour of a stratum is data
        "long-title": "off",  # the title is the analysis's
        "no-trailing-whitespace": "off",
        "prefer-native-element": "off",  # groups within SVG have no native element
    }
    config = {"extends": ["html-validate:recommended", "html-validate:a11y"], "rules": rules, "root": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "report.html").write_bytes((folder / "report.html").read_bytes())
    command = [tools / ".bin" / "html-validate", "--config", tmp_path / "config.json", tmp_path / "report.html"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
