"""Fonts that hold every character of a figure, and the width of a text."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

BASE = "DejaVu Sans"  # shipped with matplotlib: Latin, Greek, Cyrillic, and the signs of the figures
# Fonts for Chinese, Japanese and Korean as systems have them, in order of preference.
WIDE = (
    "Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC",
    "Source Han Sans SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Microsoft YaHei",
    "PingFang SC", "Hiragino Sans GB", "SimHei", "SimSun", "Yu Gothic", "Malgun Gothic", "Droid Sans Fallback",
    "Arial Unicode MS", "Unifont",
)  # fmt: skip
# Parts of file names of such fonts, for those installed after matplotlib made its list.
FILES = ("cjk", "sourcehan", "wqy", "msyh", "pingfang", "hiragino", "simhei", "simsun", "droidsansfallback",
         "arialuni", "unifont", "notosanssc", "notosanstc", "notosansjp", "notosanskr")  # fmt: skip
PLAIN = frozenset(map(chr, range(0x20, 0x250)))


class MissingFontWarning(UserWarning):
    """No font of this system has a character of a figure: it is drawn as an empty box."""


def families(texts: Iterable[str]) -> list[str]:
    """The fonts that together hold every character of some texts, DejaVu Sans first.

    Warns with a `MissingFontWarning` that names the characters no font here has, and the package to install. Nothing
    is transliterated.
    """
    wanted = {c for text in texts for c in text if c not in PLAIN and not c.isspace()}
    missing = frozenset(wanted - _characters(BASE)) if wanted else frozenset()
    found, left = _fallbacks(missing) if missing else ((), missing)
    if left:
        sample = " ".join(sorted(left)[:8])
        warnings.warn(
            f"no font on this computer has {sample}{' ...' if len(left) > 8 else ''}: figures show an empty box in "
            "their place. Install a font that has them and draw again: fonts-noto-cjk on Debian and Ubuntu "
            "(apt-get install fonts-noto-cjk), google-noto-sans-cjk-fonts on Fedora, Noto Sans CJK elsewhere.",
            MissingFontWarning,
            stacklevel=4,
        )
    return [BASE, *found]


@lru_cache(maxsize=256)
def _fallbacks(missing: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Installed fonts that hold the missing characters, and the characters still missing."""
    # While it looks through the fonts matplotlib logs a line for each that has no normal weight.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    found: list[str] = []
    for listing in (_known, _newly_installed, _any_other):
        for name in listing():
            covered = missing & _characters(name)
            if covered and name not in found:
                found.append(name)
                missing -= covered
            if not missing:
                return tuple(found), missing
    return tuple(found), missing


def _known() -> list[str]:
    """Fonts of `WIDE` that matplotlib knows."""
    from matplotlib.font_manager import fontManager

    names = {font.name for font in fontManager.ttflist}
    return [name for name in WIDE if name in names]


def _newly_installed() -> list[str]:
    """Fonts installed since matplotlib made its list (which it keeps on disk): added to it."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    listed = {font.fname for font in fontManager.ttflist}
    before = {font.name for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in listed and any(part in Path(path).name.casefold() for part in FILES):
            try:
                fontManager.addfont(path)
            except (OSError, RuntimeError):
                continue  # a broken font file helps nobody
    names = {font.name for font in fontManager.ttflist} - before
    return [name for name in WIDE if name in names] + sorted(names - set(WIDE))


def _any_other() -> list[str]:
    """Every other sans-serif font there is, by name."""
    from matplotlib.font_manager import fontManager

    return sorted({font.name for font in fontManager.ttflist if font.style == "normal" and "Resort" not in font.name})


@lru_cache(maxsize=512)
def _characters(family: str) -> frozenset[str]:
    """The characters a font has."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    try:
        path = fontManager.findfont(FontProperties(family=[family]), fallback_to_default=False)
        return frozenset(map(chr, get_font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()


def text_width(text: str, size: float = 9.0, *, bold: bool = False) -> float:
    """Width of a line of text in inches, in the fonts of the style in force."""
    import matplotlib as mpl

    return _width(text, size, bold, tuple(mpl.rcParams["font.family"])) if text.strip() else 0.0


@lru_cache(maxsize=8192)
def _width(text: str, size: float, bold: bool, family: tuple[str, ...]) -> float:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=list(family), weight="bold" if bold else "normal", size=size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of glyphs that are in no font: `families` has said so
        return float(_renderer().get_text_width_height_descent(text, font, False)[0]) / 720


@lru_cache(maxsize=1)
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, 720)  # type: ignore[no-untyped-call]


def wrap(text: str, width: float, size: float = 9.0, *, bold: bool = False, lines: int | None = None) -> list[str]:
    """Break a text into lines no wider than `width` inches, at spaces, and within a word where it must be.

    With `lines`, what does not fit ends in an ellipsis.
    """
    found: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if text_width(longer, size, bold=bold) <= width:
            line = longer
            continue
        if line:
            found.append(line)
        while text_width(word, size, bold=bold) > width and len(word) > 1:
            cut = next((n for n in range(len(word) - 1, 1, -1) if text_width(word[:n], size, bold=bold) <= width), 1)
            found.append(word[:cut])
            word = word[cut:]
        line = word
    found.append(line)
    if lines is not None and len(found) > lines:
        last = found[lines - 1]
        while last and text_width(f"{last} \u2026", size, bold=bold) > width:
            last = last[:-1].rstrip()
        found = [*found[: lines - 1], f"{last} \u2026"]
    return found
