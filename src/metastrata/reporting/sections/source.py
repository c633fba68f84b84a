"""What the builders of sections are given: the results, the figures, and a few words they share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metastrata.reporting.document import Picture, Piece, Text, bad, text
from metastrata.reporting.read_back import logs
from metastrata.reporting.record import Node

FINE = ("reliable", "single_study", "no_study", "frequentist")


@dataclass(frozen=True)
class Source:
    """A run as its report sees it.

    Attributes
    ----------
    results : Node
        results.json.
    folder : Path
        The run folder; figures are files in it.
    """

    results: Node
    folder: Path

    def label(self, stratum: str) -> Text:
        """The name of a stratum as a reader sees it; the name itself if it has no other."""
        strata = self.results["strata"]
        return strata[stratum].words() if stratum in strata else (stratum,)

    @property
    def logs(self) -> str:
        """What effects are computed as where a reader knows them as something else: "log OR"; else nothing."""
        return logs(self.results.raw["measure"])

    def figure(self, kind: str, endpoint: str = "", caption: Text = ()) -> Picture | None:
        """A figure of the run, if it was drawn."""
        return next(iter(self.figures(kind, endpoint, caption)), None)

    def figures(self, kind: str, endpoint: str = "", caption: Text = ()) -> list[Picture]:
        """Every figure of a kind: the pages of a forest plot."""
        return [
            Picture(figure["file"], figure["alt"], caption or text(figure["caption"]))
            for figure in self.results["figures"].raw
            if figure["kind"] == kind and figure["endpoint"] == endpoint
        ]

    def flag(self, endpoint: Node) -> Piece | None:
        """A warning beside the name of an endpoint whose fit is not reliable."""
        return None if endpoint.raw["status"] in FINE else bad(" NOT RELIABLE")
