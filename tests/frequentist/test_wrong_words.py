"""Wrong words and wrong things: a sentence with the nearest name, never a traceback."""

from collections.abc import Callable

import pytest

import metastrata as ms
from metastrata import frequentist as f

Y, V = [-0.42, -0.31, -0.9, -0.75, 0.1], [0.04, 0.06, 0.09, 0.05, 0.02]


def effects() -> ms.Effects:
    return ms.Effects.from_estimates(Y, V, stratum=list("aabbb"))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: f.pool(Y, V, "REEML"), "unknown method 'REEML'.*did you mean 'REML'"),
        (lambda: f.pool(Y, V, None), "unknown method 'None'"),
        (lambda: f.pool(Y, V, ["REML"]), "unknown method"),
        (lambda: f.pool(Y, V, "DL", 3), "unknown interval '3'"),
        (lambda: f.pool(Y, V, "DL", "HKJS"), "did you mean 'HKSJ'"),
        (lambda: f.pool(Y, V, level="95"), "level = 95: it is given in per cent"),
        (lambda: f.pool(["a"], [1]), "y must hold numbers"),
        (lambda: f.pool_many([["a"]], [[1]]), "y must hold numbers"),
        (lambda: f.meta_regression(Y, V, "ablat"), "design matrix must hold numbers.*formula"),
        (lambda: f.mantel_haenszel(["x"], [2], [1], [4]), "counts must hold numbers"),
        (lambda: f.pet_peese(Y, V, alpha=2), "alpha = 2 must lie between 0 and 1"),
        (lambda: f.selection_model(Y, V, [0.025], "greatr"), "unknown alternative.*did you mean 'greater'"),
        (lambda: f.pool_as("RevMan Wb", Y, V), "did you mean 'RevMan Web'"),
        (lambda: ms.classical(effects(), preset=5), "unknown preset '5'"),
        (lambda: ms.classical("effects.csv"), "effects is str: give Effects"),
        (lambda: ms.classical(effects(), moderators=""), "write it as text, such as"),
        (lambda: ms.classical(effects(), moderators=["dose"]), "write it as text, such as"),
        (lambda: ms.classical(effects(), moderators="~ stratm"), "did you mean 'stratum'"),
        (lambda: ms.classical_by_stratum(effects(), tau2="comon"), "did you mean 'common'"),
    ],
)
def test_wrong_words(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ms.InputError, match=words):
        call()


def test_nothing_to_undo_is_said() -> None:
    for kind in ("Rosenthal", "Rosenberg"):
        assert f.fail_safe([0.1, -0.1, 0.05], [1, 1, 1], kind).note.endswith("there is nothing to undo")
        assert f.fail_safe([1.1, 1.2, 1.05], [0.1, 0.1, 0.1], kind).note == ""
