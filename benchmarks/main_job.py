"""How long the main job takes: `metastrata run models/sle_msc.toml`, cold and warm, split into its parts.

Cold: PyTensor's cache of compiled code is empty (a fresh directory). Warm: a second process with that cache filled.

    uv run python benchmarks/main_job.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAN = Path(__file__).resolve().parent.parent / "models" / "sle_msc.toml"


def timed(words: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTENSOR_FLAGS": f"base_compiledir={folder}/cache"}
        for state in ("cold", "warm"):
            out = Path(folder) / state
            command = [sys.executable, "-m", "metastrata.commands", "run", str(PLAN), "--out", str(out)]
            total = timed(command, environment)
            parts = json.loads((out / "provenance.json").read_text())["seconds"]
            parts["rest"] = total - sum(parts.values())
            line = ", ".join(f"{name.replace('_', ' ')} {value:.1f} s" for name, value in parts.items())
            print(f"{state}: {total:.1f} s in all ({line})")


if __name__ == "__main__":
    main()
