"""The room stays cheap to enter."""

import subprocess
import sys


def test_nothing_heavy_is_imported():
    code = (
        "import sys, importlib, pkgutil, metastrata.frequentist as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'{room.__name__}.{module.name}')\n"
        "heavy = {'pymc', 'pytensor', 'pandas', 'xarray', 'arviz', 'matplotlib', 'numba', 'scipy.stats', "
        "'scipy.optimize'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
