import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import metastrata as ms

Finished = tuple[ms.RunResult, Path, list[str]]


@pytest.fixture(scope="module")
def page(finished: Finished) -> str:
    """The page without the marks of its numbers."""
    page = (finished[1] / "report.html").read_text(encoding="utf-8")
    return re.sub(r"<span data-from[^>]*>([^<]*)</span>", r"\1", page)


def test_it_is_one_file_without_network(page: str) -> None:
    assert not re.search(r'(src|srcset|data|action)="(?!data:)', page)
    assert not re.search(r"<link |@import|url\((?!#)", page)
    assert all(href.startswith(("#", "https://doi.org/")) for href in re.findall(r'href="([^"]*)"', page))
    assert re.findall(r"<script[^>]*>", page) == ['<script type="application/json">', "<script>"]


def test_names_are_escaped(page: str) -> None:
    assert "A &lt;script&gt;alert(1)&lt;/script&gt; analysis" in page
    assert "A &lt;b&gt; 2017" in page


def test_tags_are_balanced(page: str) -> None:
    void, stack = {"meta", "img", "br", "link", "hr", "input"}, []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in void:
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    Reader().feed(page)
    assert stack == []


def test_every_picture_has_its_description(page: str) -> None:
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) >= 5
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images)


@pytest.mark.parametrize(
    "words",
    [
        "Computation reliable.",
        "Trials (2 studies): mean",
        "One study only (A &lt;b&gt; 2017)",
        "Published, Liu 2018: \u22121.76 [\u22122.00, \u22121.51]",
        "No study can be analysed for this endpoint",
        "Two strata say almost nothing about the between-stratum SD omega",
        "Before/after studies have no control group: regression",
        "The pre-post correlation of A &lt;b&gt; 2017, C 2010, D 2012",
        "mu[s] ~ normal(mu, omega)",
        "tau = half_normal(0.5): 95",
        "Before any data, 95",
        "baseline of other patients",
        "without B",
        "REML + HKSJ",
        "RevMan 5",
        "SMDs of two groups by its own formula",
        "reproduced by none of",
        "Trials minus Before/after",
    ],
)
def test_what_a_reader_must_find(page: str, words: str) -> None:
    assert words in page or words.replace("'", "&#39;") in page


def test_no_minus_zero_and_no_certainty(page: str) -> None:
    text = re.sub(r'src="data:[^"]*"', "", page)
    assert "\u22120.00" not in text
    assert not re.search(r"\b1\.000\b(?! ?\d)", re.sub(r"R-hat.*?</table>", "", text, flags=re.S))
    assert "nan" not in text.casefold().split()


def test_numbers_of_the_sentences_are_those_of_the_results(finished: Finished, page: str) -> None:
    row = finished[0].endpoints[0].summary.set_index(["quantity", "stratum"]).loc[("mu_stratum", "rct")]
    shown = f"{row['mean']:.2f} [{row['eti95_lower']:.2f}, {row['eti95_upper']:.2f}]".replace("-", "\u2212")
    assert f"Trials (2 studies): mean {shown}" in page
