"""A finished run repeated, and how far the second result is from the first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastrata.reporting.assemble import read_results
from metastrata.reporting.fits import Job, Say
from metastrata.reporting.plain import records
from metastrata.reporting.run import calculate
from metastrata.reporting.trust import kept_plan

if TYPE_CHECKING:
    import pandas as pd

LIMIT_MCSE = 4.0
LIMIT_SD = 1e-4  # of results by integration, which carry no Monte Carlo error
Rows = dict[tuple[str, ...], dict[str, Any]]
KEYS = ("endpoint", "quantity", "stratum", "study")


@dataclass(frozen=True)
class Rerun:
    """A run beside its repetition.

    Attributes
    ----------
    table : DataFrame
        Per quantity: the posterior mean then and now, their difference, and that difference in Monte Carlo standard
        errors (`in_mcse`; both errors together) or, where there is none, in posterior SDs (`in_sd`).
    status : str
        The verdict of the repetition.
    missing : tuple of str
        Quantities that only one of the two has.
    """

    table: pd.DataFrame
    status: str
    missing: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether every difference is within 4 Monte Carlo standard errors, or 1e-4 posterior SDs."""
        t = self.table
        within = (
            (t["difference"] == 0) | (t["in_mcse"] <= LIMIT_MCSE) | (t["in_mcse"].isna() & (t["in_sd"] <= LIMIT_SD))
        )
        return bool(within.all()) and not self.missing

    def __str__(self) -> str:
        t = self.table
        if not self.missing and bool((t["difference"] == 0).all()):
            return f"{len(t)} quantities, all the same to the last digit."
        sampled = t["in_mcse"].notna().any()
        column, unit = ("in_mcse", "Monte Carlo standard errors") if sampled else ("in_sd", "posterior SDs")
        worst = t.loc[t[column].idxmax()]
        name = " ".join(str(worst[key]) for key in KEYS if worst[key])
        text = f"{len(t)} quantities; the largest difference is {worst[column]:.2g} {unit} ({name})."
        return "\n".join([text, *(f"only in one of the two: {name}" for name in self.missing)])


def rerun(folder: str | Path, *, seed: int | None = None, say: Say | None = None) -> Rerun:
    """Repeat a finished run with the plan and the table kept in its folder, and compare.

    Parameters
    ----------
    folder : path
        A folder that `run` wrote. Nothing in it is changed.
    seed : int, optional
        By default the seed of the run: on the same platform with the same versions the draws are then the same.
    say : callable, optional
        Told what is going on, a line at a time.

    Returns
    -------
    Rerun

    Raises
    ------
    InputError
        If the folder is no run folder, or does not hold its plan.
    """
    folder = Path(folder)
    plan, then = kept_plan(folder), read_results(folder)
    settings = {name: then["settings"][name] for name in ("engine", "draws", "tune", "chains")}
    job = Job(plan, then["settings"]["seed"] if seed is None else seed, settings, say or (lambda line: None))
    result = calculate(job)
    old = {_key(row): row for e in then["endpoints"].values() for row in e["summary"]}
    new = {_key(row): row for row in records(result.summary())}
    if "safety" in then:
        old |= {_key(row, "safety"): row for e in then["safety"]["endpoints"].values() for row in e["summary"]}
    if result.safety is not None:
        new |= {_key(row, "safety"): row for row in records(result.safety.summary())}
    return Rerun(_differences(old, new), result.status, tuple(" ".join(k) for k in old.keys() ^ new.keys()))


def _key(row: dict[str, Any], section: str = "") -> tuple[str, ...]:
    """What a row is about; of a section beside the endpoints, it comes first."""
    endpoint, *others = (str(row[name]) for name in KEYS)
    return (f"{section}: {endpoint}" if section else endpoint, *others)


def _differences(
    old: dict[tuple[str, ...], dict[str, Any]], new: dict[tuple[str, ...], dict[str, Any]]
) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for key in (k for k in old if k in new):
        then, now = old[key], new[key]
        difference = now["mean"] - then["mean"]
        errors = [v for v in (then["mcse_mean"], now["mcse_mean"]) if v]
        mcse = sum(v**2 for v in errors) ** 0.5
        in_mcse = abs(difference) / mcse if mcse else float("nan")
        in_sd = abs(difference) / then["sd"] if then["sd"] else float("nan")
        rows.append([*key, then["mean"], now["mean"], difference, in_mcse, in_sd])
    return pd.DataFrame(rows, columns=[*KEYS, "then", "now", "difference", "in_mcse", "in_sd"])
