"""The natural course: what before/after studies show, less what control arms say patients change anyway."""

from __future__ import annotations

from metastrata.appraisal.natural_course import MAIN, PLAIN, SELF, SHIFTED, TRIALS
from metastrata.appraisal.natural_course_words import FEW
from metastrata.reporting.document import (
    BREAK,
    Block,
    Bullets,
    Column,
    Details,
    Heading,
    Lines,
    Paragraph,
    Section,
    Table,
    Text,
    faint,
    joined,
    text,
)
from metastrata.reporting.record import Node, studies_text
from metastrata.reporting.sections.source import Source

INTRODUCTION = (
    "A before/after study shows the effect of treatment together with everything else that changes in the meantime: "
    "regression to the mean, the course of the disease, other treatments, time. Control arms of trials, measured "
    "before and after, show that everything else. Here both are modelled: in every study a change without treatment "
    "(the natural course) and an effect of treatment beside it. "
)
SCALE = "Changes are in SDs before treatment, each arm by its own SD."
UNIT = "Changes are in the unit of the endpoint."
WHY = {
    MAIN: "course from the control arms",
    SHIFTED: "before/after studies shifted by a bias with a prior; control arms not looked at",
    PLAIN: "before/after studies taken as if all change were due to treatment",
    TRIALS: "before/after studies left out",
    SELF: "less the course from the control arms; treated arms of trials left out",
}
ASSUMPTIONS = {
    "shift": "patients of before/after studies change more by",
    "inflation": "variance of their course times",
    "rho": "correlation of course and effect",
}
KINDS = {"trial": "both arms", "contrast": "difference only", "before_after": "before/after"}


def build(report: Source) -> Section | None:
    """A part for each endpoint the plan asks it for."""
    if "natural_course" not in report.results:
        return None
    found = report.results["natural_course"]
    blocks: list[Block] = [Paragraph((INTRODUCTION, UNIT if report.results.raw["measure"] == "MD" else SCALE))]
    for part in found["endpoints"]:
        blocks += _endpoint(report, found, part)
    return Section("natural-course", ("Natural course",), tuple(blocks), "Natural course")


def _endpoint(report: Source, found: Node, part: Node) -> list[Block]:
    name = part.raw["endpoint"]
    label = report.results["endpoints"][name]["label"].words()
    picture = report.figure("natural_course", name, _caption(found, part))
    blocks: list[Block] = [Heading(label), Paragraph(_counts(part)), *([picture] if picture else [])]
    blocks += [_answers(found, part, name), _studies(part, name)]
    if part["check"]:
        blocks += [Paragraph((CHECKED,)), _check(part, name)]
    elif part.raw["not_checked"]:
        blocks.append(Paragraph(text("The course cannot be checked: ", part["not_checked"].words(), ".")))
    if part["sweep"]:
        blocks.append(_sweep(part, name))
    blocks.append(Paragraph(("What this assumes, and the data cannot tell:",)))
    blocks.append(Bullets(tuple(line.words() for line in part["assumptions"])))
    derived = Bullets(tuple(line.words() for line in part["derivations"]))
    blocks.append(
        Details(("Model, priors, and how changes were derived",), (Lines(tuple(part.raw["equations"])), derived))
    )
    return blocks


def _caption(found: Node, part: Node) -> Text:
    """What the figure shows, and how far it is prior."""
    rows = {(row.raw["analysis"], row.raw["quantity"]): row for row in part["rows"]}
    green = "green: its mean" + (", pale: that of a new study" if (SELF, "mu") in rows else "")
    said = text(f"Above, what arms changed from before to after, with the natural course ({green}) behind those that "
                "were treated; below, effects of treatment. ")  # fmt: skip
    if (SELF, "mu") in rows:
        course, left = rows[SELF, "course_before_after"], rows[SELF, "mu"]
        said = text(said, "By themselves before/after studies show ", rows[SELF, "uncorrected"].interval(),
                    " on average: of this the natural course is ", course.interval(), ", and ", left.interval(),
                    " is left. ")  # fmt: skip
    if (TRIALS, "mu") in rows:
        alone = rows[TRIALS, "mu"]
        who = "The only trial shows " if alone.raw["status"] == "single_study" else "Trials by themselves show "
        said = text(said, who, alone.interval(), "; all studies together, less the natural course, ",
                    rows[MAIN, "mu"].interval(), ". ")  # fmt: skip
    return text(said, _rests_on(found, part, rows[MAIN, "tau_course"]))


def _rests_on(found: Node, part: Node, spread: Node) -> Text:
    """How far the natural course is its prior."""
    arms, share = part["trials"], part["course_prior_share"]
    said = text("The mean natural course rests on ", arms.count(), " control arm" if arms.raw == 1 else " control arms")
    if share.raw is not None:
        mostly = ", so that it is mostly prior" if share.raw > 0.5 else ""
        said = text(said, "; its prior counts ", share.per_cent(), mostly)
    if arms.raw not in FEW:
        return text(said, ".")
    return text(said, ". How far studies differ in it, SD ", spread.interval(), ", is mostly prior: ",
                found["priors"]["tau_course"].words(), ".")  # fmt: skip


CHECKED = (
    "Is the course foretold? In turn the control arm of each trial is kept from the model, which then has to say from "
    "the others what it would show. The corrected effect should come near the trial's own."
)


def _counts(part: Node) -> Text:
    """How many studies of each kind."""
    arms = text(studies_text(part["trials"]), " with both arms before and after")
    others = [text(studies_text(part[key]), words) for key, words in
              (("contrasts", " with a difference of arms only"), ("before_after", " before and after treatment only"))
              if part.raw[key]]  # fmt: skip
    held = text(" (of these the control arm is known, and withheld: ", joined(w.words() for w in part["withheld"]), ")")
    return text(joined([arms, *others]), held if part["withheld"] else None, ".")


def _answers(found: Node, part: Node, name: str) -> Table:
    columns = (Column("Analysis"), Column("Mean effect [95 % CrI]", True), Column("P(benefit)", True),
               Column("SD over studies", True), Column("Change without treatment, or bias", True))  # fmt: skip
    lines = []
    for analysis in dict.fromkeys(row.raw["analysis"] for row in part["rows"]):
        rows = {row.raw["quantity"]: row for row in part["rows"].select(analysis=analysis)}
        variant = found["variants"].find(name=analysis)
        why = variant["why"].words() if variant and variant.raw["why"] else (WHY.get(analysis, ""),)
        head = text(analysis, BREAK, faint(why)) if why != ("",) else (analysis,)
        beside = rows.get("course_before_after") or rows.get("course") or rows.get("bias")
        tau = rows["tau"]["median"].num() if "tau" in rows else ()
        line = (head, rows["mu"].interval(), rows["mu"]["p_benefit"].p(), tau, beside.interval() if beside else ())
        lines.append(line)
    uncorrected = part["rows"].find(analysis=SELF, quantity="uncorrected")
    said = text("SD over studies: posterior median.")
    if uncorrected:
        said = text(said, " By themselves before/after studies show ", uncorrected.interval(),
                    ", course and effect together.")  # fmt: skip
    return Table(f"{name}_natural_course", columns, tuple(lines), said)


def _studies(part: Node, name: str) -> Table:
    columns = (Column("Study"), Column("Shows"), Column("Treated (SE)", True), Column("Control (SE)", True),
               Column("Difference (SE)", True), Column("Course [95 % CrI]", True), Column("Effect [95 % CrI]", True),
               Column("Weight", True))  # fmt: skip
    rows = tuple(
        (
            row["study"].words(),
            (KINDS[row.raw["kind"]],),
            _with_se(row, "treated"),
            _with_se(row, "control"),
            _with_se(row, "effect"),
            row.interval(("course", "course_lower", "course_upper")),
            row.interval(("theta", "theta_lower", "theta_upper")),
            row["weight"].per_cent() if row.raw["weight"] is not None else (),
        )
        for row in part["studies"]
    )
    caption = (
        "Course: what treated patients would have changed without treatment. Weight: by how much the mean effect moves "
        "when the effect in this study is larger by 1; what is missing to 100 % is the prior's.",
    )
    return Table(f"{name}_natural_course_studies", columns, rows, caption)


def _with_se(row: Node, what: str) -> Text:
    if row.raw[what] is None:
        return ()
    return text(row[what].num(), " (", row[f"{what}_se"].num(), ")")


def _check(part: Node, name: str) -> Table:
    columns = (Column("Control arm of"), Column("It shows (SE)", True), Column("Foretold [95 %]", True),
               Column("p", True), Column("Effect by own control (SE)", True), Column("Corrected [95 % CrI]", True),
               Column("Uncorrected", True))  # fmt: skip
    rows = tuple(
        (
            row["study"].words(),
            _with_se(row, "control"),
            row.interval(("course", "course_lower", "course_upper")),
            row["p_value"].p(),
            _with_se(row, "own"),
            row.interval(("corrected", "corrected_lower", "corrected_upper")),
            row["uncorrected"].num(),
        )
        for row in part["check"]
    )
    return Table(f"{name}_natural_course_check", columns, rows,
                 ("Foretold with the sampling error of the arm; p: probability of a change at least as far out.",)
                 )  # fmt: skip


def _sweep(part: Node, name: str) -> Table:
    columns = (Column("If"), Column("Value", True), Column("Mean effect [95 % CrI]", True), Column("P(benefit)", True),
               Column("Course of before/after studies", True))  # fmt: skip
    rows = []
    for row in part["sweep"].select(quantity="mu"):
        course = part["sweep"].find(assumption=row.raw["assumption"], value=row.raw["value"],
                                    quantity="course_before_after")  # fmt: skip
        value = row["value"]
        shown = value.plain() if isinstance(value.raw, (int, float)) else value.words()
        head = (ASSUMPTIONS[row.raw["assumption"]],)
        rows.append((head, shown, row.interval(), row["p_benefit"].p(), course.interval() if course else ()))
    return Table(f"{name}_natural_course_sweep", columns, tuple(rows), ("One assumption changed at a time.",))
