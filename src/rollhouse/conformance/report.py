"""The report of a run: counts, and a table that says of each requirement what came of it and why."""

import msgspec

from rollhouse.conformance.requirement import Outcome, Verdict
from rollhouse.conformance.suites import SuiteResult

OUTCOMES: tuple[Outcome, ...] = ("passed", "broken", "not applicable")


class Report(msgspec.Struct, frozen=True):
    """What was found: a verdict for each requirement, and what other people's suites say."""

    url: str
    verdicts: list[Verdict]
    suites: list[SuiteResult]

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many requirements have each outcome."""
        return {outcome: sum(one.outcome == outcome for one in self.verdicts) for outcome in OUTCOMES}

    @property
    def is_conformant(self) -> bool:
        """Whether no requirement of level MUST is broken."""
        return not any(one.outcome == "broken" and one.level == "MUST" for one in self.verdicts)


def as_table(report: Report) -> str:
    """The report as Markdown."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.counts.items())
    lines = [f"{len(report.verdicts)} requirements: {counts}.", ""]
    for suite in report.suites:
        said = suite.told or f"{suite.passed} passed, {len(suite.faults)} at fault"
        lines += [f"{suite.name}: {said}.", *(f"- {name}: {why or 'not explained'}" for name, why in suite.faults.items()), ""]
    lines += ["| id | section | level | requirement | verdict |", "|---|---|---|---|---|"]
    lines += [f"| {one.id} | {one.section} | {one.level} | {_cell(one.words)} | {_cell(_verdict(one))} |" for one in report.verdicts]
    return "\n".join(lines)


def _verdict(one: Verdict) -> str:
    return f"{one.outcome}: {one.told}" if one.told else one.outcome


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
