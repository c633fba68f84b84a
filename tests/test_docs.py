"""The guide's code runs, and docstring examples give what they say."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import metastrata

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide.md"
MODULES = [m.name for m in pkgutil.walk_packages(metastrata.__path__, "metastrata.")]


def test_the_guide_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.S)
    assert len(blocks) >= 7
    scope: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), scope)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert found.failed == 0
