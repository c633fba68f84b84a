from pathlib import Path

import metastrata as ms
from metastrata.plots.diagnostics import save_diagnostics, top_level


def test_three_figures_of_the_sampled_quantities(crins_fit: ms.Fit, tmp_path: Path) -> None:
    assert top_level(crins_fit) == ["mu", "tau"]
    paths = save_diagnostics(crins_fit, tmp_path)
    assert set(paths) == {"rank", "trace", "prior_posterior"}
    assert all(path.stat().st_size > 5000 for path in paths.values())


def test_omega_is_among_them_when_it_is_in_the_model(efm_fit: ms.Fit) -> None:
    assert top_level(efm_fit) == ["mu", "tau", "omega"]
