"""Tools for the risk of bias: their domains and the words each allows.

RoB 2: Sterne et al., BMJ 2019;366:l4898. RoB 1: Higgins et al., BMJ 2011;343:d5928. ROBINS-I: Sterne et al., BMJ
2016;355:i4919; version 2: riskofbias.info. Newcastle-Ottawa scale for cohorts: Wells et al., Ottawa Hospital Research
Institute.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metastrata.errors import InputError, unknown

NOT_APPLICABLE = "Not applicable"


@dataclass(frozen=True)
class Tool:
    """A tool for the risk of bias.

    Attributes
    ----------
    name : str
    domains : mapping
        What each domain asks, by its short name; in the tool's order (D1, D2, ...).
    categories : tuple of str
        Judgements from best to worst; "No information" last.
    words : mapping
        Other ways to write a judgement, in lower case.
    prefix : str
        How the columns of a study table begin: "rob_" or "nos_".
    whole : bool
        Whether every domain must be there and be judged.
    added : bool
        Whether reviews may add domains of their own.
    """

    name: str
    domains: Mapping[str, str]
    categories: tuple[str, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    prefix: str = "rob_"
    whole: bool = True
    added: bool = False

    def category(self, text: str) -> str | None:
        """The tool's own word for a judgement; "" if there is none, None if the tool does not know it."""
        folded = " ".join(text.casefold().replace("_", " ").split())
        own = {category.casefold(): category for category in self.categories}
        return "" if not folded else own.get(folded) or self.words.get(folded)

    def refusal(self, text: str) -> str:
        """Why a judgement is refused, with the nearest word and the tool it may belong to."""
        others = [t.name for t in TOOLS.values() if t is not self and t.category(text) in t.categories]
        known = {category.casefold(): category for category in self.categories} | dict(self.words)
        near = difflib.get_close_matches(text.casefold(), list(known), n=1, cutoff=0.6)
        hint = f"; did you mean '{known[near[0]]}'?" if near else ""
        belongs = f" (a judgement of {' and '.join(others)})" if others and not near else ""
        return f"'{text}' is not a judgement of {self.name}{belongs}: {', '.join(self.categories)}{hint}"


_LOW = {"low risk": "Low", "low risk of bias": "Low", "l": "Low", "+": "Low"}
_HIGH = {"high risk": "High", "high risk of bias": "High", "h": "High", "-": "High", "\u2212": "High"}
_ROBINS = {
    **_LOW,
    **{f"{word} {tail}": word.title() for word in ("moderate", "serious", "critical")
       for tail in ("risk", "risk of bias")},
    "ni": "No information", "m": "Moderate", "s": "Serious", "c": "Critical",
}  # fmt: skip
_STARS = {
    "y": "Star", "yes": "Star", "*": "Star", "1": "Star", "\u2605": "Star", "star": "Star", "n": "No star",
    "no": "No star", "0": "No star", "**": "Two stars", "2": "Two stars", "\u2605\u2605": "Two stars",
    "na": NOT_APPLICABLE, "n/a": NOT_APPLICABLE,
}  # fmt: skip

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "RoB 2",
            {
                "randomisation": "Bias arising from the randomisation process",
                "deviations": "Bias due to deviations from intended interventions",
                "missing_data": "Bias due to missing outcome data",
                "measurement": "Bias in measurement of the outcome",
                "reporting": "Bias in selection of the reported result",
            },
            ("Low", "Some concerns", "High"),
            {**_LOW, **_HIGH, "some": "Some concerns", "sc": "Some concerns", "?": "Some concerns"},
        ),
        Tool(
            "RoB 1",
            {
                "random_sequence_generation": "Random sequence generation (selection bias)",
                "allocation_concealment": "Allocation concealment (selection bias)",
                "blinding_of_participants_and_personnel": "Blinding of participants and personnel (performance bias)",
                "blinding_of_outcome_assessment": "Blinding of outcome assessment (detection bias)",
                "incomplete_outcome_data": "Incomplete outcome data (attrition bias)",
                "selective_reporting": "Selective reporting (reporting bias)",
                "other_bias": "Other bias",
            },
            ("Low", "Unclear", "High", NOT_APPLICABLE),
            {**_LOW, **_HIGH, "unclear risk": "Unclear", "unclear risk of bias": "Unclear", "u": "Unclear",
             "?": "Unclear", "na": NOT_APPLICABLE},
            whole=False,
            added=True,
        ),
        Tool(
            "ROBINS-I",
            {
                "confounding": "Bias due to confounding",
                "selection": "Bias in selection of participants into the study",
                "classification": "Bias in classification of interventions",
                "deviations": "Bias due to deviations from intended interventions",
                "missing_data": "Bias due to missing data",
                "measurement": "Bias in measurement of outcomes",
                "reporting": "Bias in selection of the reported result",
            },
            ("Low", "Moderate", "Serious", "Critical", "No information"),
            _ROBINS,
        ),
        Tool(
            "ROBINS-I V2",
            {
                "confounding": "Bias due to confounding",
                "classification": "Bias in classification of interventions",
                "selection": "Bias in selection of participants into the study (or into the analysis)",
                "missing_data": "Bias due to missing data",
                "measurement": "Bias in measurement of the outcome",
                "reporting": "Bias in selection of the reported result",
            },
            ("Low", "Low except for concerns about uncontrolled confounding", "Moderate", "Serious", "Critical"),
            _ROBINS,
        ),
        Tool(
            "Newcastle-Ottawa",
            {
                "representativeness": "Representativeness of the exposed cohort",
                "nonexposed": "Selection of the non-exposed cohort",
                "exposure": "Ascertainment of exposure",
                "outcome_absent": "Outcome not present at the start",
                "comparability": "Comparability of the cohorts",
                "assessment": "Assessment of the outcome",
                "follow_up_length": "Follow-up long enough",
                "follow_up_adequacy": "Adequacy of follow-up",
            },
            ("Two stars", "Star", "No star", NOT_APPLICABLE),
            _STARS,
            prefix="nos_",
            whole=False,
        ),
    )
}  # fmt: skip
_ALIASES = {
    "nos": "Newcastle-Ottawa",
    "newcastleottawascale": "Newcastle-Ottawa",
    "rob": "RoB 1",
    "robinsi2": "ROBINS-I V2",
}


def tool_named(name: str) -> Tool:
    """The tool of a name, however it is spaced and capitalised ("ROB2", "robins-i", "NOS").

    Raises
    ------
    InputError
        If there is none.
    """
    folded = {fold(known): known for known in TOOLS}
    found = folded.get(fold(name)) or _ALIASES.get(fold(name))
    if found is None:
        raise InputError(unknown("tool", name, TOOLS))
    return TOOLS[found]


def fold(text: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(c for c in text.casefold() if c.isalnum())


def guess(names: Sequence[str]) -> Tool:
    """The tool that knows the most of some column names.

    Raises
    ------
    InputError
        If none knows any, or several the same number.
    """

    def known(tool: Tool) -> int:
        return sum(name.removeprefix(tool.prefix) in tool.domains for name in names if name.startswith(tool.prefix))

    best = max(known(tool) for tool in TOOLS.values())
    fits = [tool for tool in TOOLS.values() if known(tool) == best]
    exact = [tool for tool in fits if len(tool.domains) == best] or fits
    if best == 0 or len(exact) > 1:
        raise InputError(f"the columns {', '.join(names)} do not tell the tool: say tool = ... ({', '.join(TOOLS)})")
    return exact[0]
