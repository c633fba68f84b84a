"""The annex of figures: each seen from another side, and those that cannot be drawn, with the reason."""

from __future__ import annotations

from metastrata.reporting.document import Block, Details, Paragraph, Section, text
from metastrata.reporting.sections.source import Source

# Kinds in the order of an argument; those of other sections are not repeated here.
OF_ENDPOINTS = ("exceedance", "joint", "predictive", "leave_one_out", "cumulative", "baujat", "funnel", "galbraith",
                "drapery", "bubble")  # fmt: skip
OF_THE_RUN = ("prisma", "traffic_light", "bias_summary")


def build(report: Source) -> Section | None:
    """The annex, none if the plan wants no such figures."""
    if "figures_not_drawn" not in report.results:
        return None  # results of an older version
    kinds = [figure["kind"] for figure in report.results["figures"].raw]
    blocks: list[Block] = [
        picture
        for start in OF_THE_RUN
        for kind in dict.fromkeys(kinds)
        if kind.startswith(start)
        for picture in report.figures(kind)
    ]
    for name, endpoint in report.results["endpoints"].items():
        wanted = [k for start in OF_ENDPOINTS for k in dict.fromkeys(kinds) if k.startswith(start)]
        pictures = tuple(picture for kind in wanted for picture in report.figures(kind, name))
        reasons = tuple(
            Paragraph(text(f"No {one.raw['kind'].replace('_', ' ')} figure: ", one["reason"].words(), "."))
            for one in report.results["figures_not_drawn"]
            if one.raw["endpoint"] == name
        )
        if pictures or reasons:
            blocks.append(Details(text(endpoint["label"].words(), ": more figures"), (*pictures, *reasons)))
    return Section("figures", ("More figures",), tuple(blocks), "Figures") if blocks else None
