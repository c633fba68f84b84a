"""Fits for the figures: all by integration, so that they take milliseconds; and the comparison of images."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from figure_checks import fitted, made

import metastrata as ms
from metastrata.plots.style import style

BASELINE = Path(__file__).parent / "baseline"


@pytest.fixture(scope="session")
def lupus_effects() -> ms.Effects:
    return ms.effect_sizes(
        ms.read_studies(Path(__file__).resolve().parents[2] / "data" / "sle_msc.csv"),
        r=0.5,
        change_scores="convert",
        endpoints=["sledai"],
    ).endpoint("sledai")


@pytest.fixture(scope="session")
def lupus(lupus_effects: ms.Effects) -> ms.Fit:
    return fitted(lupus_effects)


@pytest.fixture(scope="session")
def one_stratum() -> ms.Fit:
    return fitted(made({"all": 6}))


@pytest.fixture(scope="session")
def two_strata() -> ms.Fit:
    return fitted(made({"rct": 7, "cohort": 5}))


@pytest.fixture(scope="session")
def five_strata() -> ms.Fit:
    return fitted(made({f"design {i}": 3 for i in range(1, 6)}))


@pytest.fixture(scope="session")
def many_studies() -> ms.Fit:
    return fitted(made({"rct": 70, "cohort": 50}))


@pytest.fixture
def same_image(tmp_path: Path) -> Callable[..., None]:
    """Compare a figure with the image kept in tests/plots/baseline (METASTRATA_BASELINE=1 writes it anew).

    The letters are those of DejaVu Sans, which matplotlib ships; the tolerance lets other rasterisers pass.
    """

    def compare(figure: Any, name: str, dpi: int = 45, tolerance: float = 2.0) -> None:
        from matplotlib.testing.compare import compare_images
        from PIL import Image

        expected, actual = BASELINE / f"{name}.png", tmp_path / f"{name}.png"
        target = expected if os.environ.get("METASTRATA_BASELINE") else actual
        buffer = io.BytesIO()
        with style(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph ")
            figure.savefig(buffer, dpi=dpi, facecolor="white", format="png")
        Image.open(buffer).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(target, optimize=True)
        assert expected.stat().st_size < 60_000, "a baseline image is kept small"
        if target is actual:
            found = compare_images(str(expected), str(actual), tol=tolerance)
            assert found is None, found

    return compare
