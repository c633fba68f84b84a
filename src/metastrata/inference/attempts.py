"""How often a fit is tried: once, and if the gate refuses it once more with smaller steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from metastrata.errors import InputError, unknown
from metastrata.inference.convergence import Status

if TYPE_CHECKING:
    from metastrata.inference.nuts import Settings

RETRY_ACCEPT = 0.999


class Judged(Protocol):
    """A fit with its verdict."""

    @property
    def status(self) -> Status:
        """The verdict."""


def require_settings(engine: str, engines: Sequence[str], draws: int, tune: int, chains: int) -> None:
    """Refuse an engine there is not, and numbers below 1.

    Raises
    ------
    InputError
    """
    if engine not in engines:
        raise InputError(unknown("engine", engine, engines))
    for name, value in (("draws", draws), ("tune", tune), ("chains", chains)):
        if value < 1:
            raise InputError(f"{name} must be at least 1 (got {value})")


def best_of_two[F: Judged](
    attempt: Callable[[Settings, int], F], settings: Settings, on_retry: Callable[[F], None] | None
) -> F:
    """The first attempt, or a second with smaller steps and twice the tuning if the first is unreliable."""
    found = attempt(settings, 1)
    if found.status != "unreliable":
        return found
    if on_retry:
        on_retry(found)
    accept = max(RETRY_ACCEPT, settings.target_accept)
    return attempt(replace(settings, target_accept=accept, tune=2 * settings.tune), 2)
