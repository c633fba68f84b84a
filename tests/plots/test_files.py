"""Fonts and files: every character drawn or said to be missing, every file described and reproducible."""

import re
import warnings
from pathlib import Path

import pytest
from figure_checks import fitted, made, outside

import metastrata as ms
from metastrata.errors import InputError, OutputError
from metastrata.plots import fonts
from metastrata.plots.fonts import MissingFontWarning, families, text_width, wrap
from metastrata.plots.saving import alt_text, save, save_pages
from metastrata.plots.style import style

NOWHERE = "\U000ffffd"  # a private character that no font has


def test_a_character_that_no_font_has_is_named_with_the_package_to_install() -> None:
    with pytest.warns(MissingFontWarning, match=rf"{NOWHERE}.*fonts-noto-cjk"):
        assert families(["Li 2016", f"Li {NOWHERE} 2016"])[0] == "DejaVu Sans"


def test_latin_and_greek_names_need_no_other_font() -> None:
    assert families(["M\u00fcller 2016", "\u03c4 \u2264 1 \u2192", "\u015ah\u00e1k"]) == ["DejaVu Sans"]


def test_chinese_is_drawn_in_a_font_that_has_it_or_said_to_be_missing() -> None:
    """Whatever this computer has installed: never an empty box without a word."""
    name = "\u5218\u6d9b 2018"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        chosen = families([name])
    held = frozenset().union(*(fonts._characters(family) for family in chosen))
    missing = {c for c in name if c not in held and c != " "}
    assert bool(missing) == any(w.category is MissingFontWarning for w in said)


def test_fonts_are_tried_in_order_until_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    has = {"DejaVu Sans": "ab", "Noto Sans CJK SC": "\u5218", "Unifont": "\u5218\u6d9b"}
    monkeypatch.setattr(fonts, "_characters", lambda name: frozenset(has[name]))
    monkeypatch.setattr(fonts, "_known", lambda: ["Noto Sans CJK SC"])
    monkeypatch.setattr(fonts, "_newly_installed", lambda: ["Unifont"])
    monkeypatch.setattr(fonts, "_any_other", lambda: [])
    fonts._fallbacks.cache_clear()
    assert families(["\u5218\u6d9b"]) == ["DejaVu Sans", "Noto Sans CJK SC", "Unifont"]
    fonts._fallbacks.cache_clear()


def test_lines_are_broken_between_words_and_within_a_word_that_is_too_long() -> None:
    with style():
        lines = wrap("one two " + "x" * 60, 1.0)
        assert lines[0] == "one two"
        assert "".join(lines[1:]) == "x" * 60
        assert all(text_width(line) <= 1.0 for line in lines)
        (short,) = wrap("a reason that goes on and on and on", 1.0, lines=1)
        assert short.endswith(" \u2026")
        assert text_width(short) <= 1.0


@pytest.mark.filterwarnings("ignore:Glyph", "ignore::metastrata.plots.fonts.MissingFontWarning")
def test_chinese_names_and_dollar_signs_are_neither_cut_nor_read_as_mathematics(tmp_path: Path) -> None:
    fit = fitted(made({"all": 4}, names="\u5218\u6d9b\u7b49 $\\alpha_{} 2018$"), "common")
    figure = ms.plot_forest(fit, title="\u72fc\u75ae $x$")
    assert outside(figure) == []
    assert save(figure, tmp_path / "f", ["svg", "png", "pdf"])


@pytest.fixture(scope="module")
def figure() -> object:
    return ms.plot_forest(fitted(made({"all": 4}), "common"), title="Pain <0 & more")


def test_saved_files_are_reproducible(figure: object, tmp_path: Path) -> None:
    first, second = (save(figure, tmp_path / name, ["svg", "png", "pdf"]) for name in "ab")
    assert [p.suffix for p in first] == [".svg", ".png", ".pdf"]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_every_file_carries_its_description(figure: object, tmp_path: Path) -> None:
    from PIL import Image

    svg, png, pdf = save(figure, tmp_path / "a", ["svg", "png", "pdf"])
    text = svg.read_text()
    assert '<svg role="img" ' in text
    assert "<title>Forest plot: Pain &lt;0 &amp; more</title>" in text
    assert re.search(r"<desc>Forest plot of Pain &lt;0 &amp; more \(Effect\): 4 studies \(Study 1, ", text)
    with Image.open(png) as image:
        assert image.info["Description"] == alt_text(figure)
    assert b"/Subject" in pdf.read_bytes()


def test_letters_are_outlines_in_svg_and_embedded_in_pdf(figure: object, tmp_path: Path) -> None:
    svg, pdf = save(figure, tmp_path / "a", ["svg", "pdf"])
    assert "<text" not in svg.read_text()
    assert b"/FontFile2" in pdf.read_bytes()


def test_pages_of_one_pdf(figure: object, tmp_path: Path) -> None:
    path = save_pages([figure, figure], tmp_path / "pages.pdf")
    assert re.search(rb"/Count 2\b", path.read_bytes())
    with pytest.raises(InputError, match=r"\.pdf"):
        save_pages([figure], tmp_path / "pages.png")


def test_a_file_that_cannot_be_written_leaves_nothing(figure: object, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        save(figure, tmp_path / "nowhere" / "a")
    with pytest.raises(InputError, match="unknown format 'jpg'"):
        save(figure, tmp_path / "a", ["jpg"])
    assert list(tmp_path.iterdir()) == []
