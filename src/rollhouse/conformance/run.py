"""One run of all checks against a server."""

import asyncio
from collections.abc import Callable

from rollhouse.conformance import checks
from rollhouse.conformance.probe import Probe, Unreachable
from rollhouse.conformance.requirement import REQUIREMENTS, Broken, NotApplicable, Outcome, Requirement, Verdict

CHECKS = checks
"""Imported so that every check is registered."""
CHECK_SECONDS = 120


async def run_checks(url: str, secret: str, *, only: str = "", progress: Callable[[], None] | None = None) -> list[Verdict]:
    """A verdict for each requirement whose id begins with `only`; what was made is deleted again.

    Raises:
        Unreachable: the server gives no answer, or lets nobody make a user.
    """
    verdicts = []
    async with Probe(url, secret) as probe:
        for one in wanted(only):
            verdicts.append(await _try(one, probe))
            if progress is not None:
                progress()
    return verdicts


def wanted(only: str = "") -> list[Requirement]:
    """The requirements whose id begins with `only`, by standard and section."""
    return sorted((one for one in REQUIREMENTS.values() if one.id.startswith(only)), key=_order)


def _order(one: Requirement) -> tuple[list[int], int]:
    standard, section, number = one.id.split("-")
    return [int(standard), *(int(part) for part in section.split("."))], int(number)


async def _try(one: Requirement, probe: Probe) -> Verdict:
    outcome: Outcome = "passed"
    told = ""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await one.check(probe)
    except Broken as error:
        outcome, told = "broken", str(error)
    except NotApplicable as error:
        outcome, told = "not applicable", str(error)
    except Unreachable:
        raise
    except Exception as error:  # noqa: BLE001 - an answer of a shape that no check thought of is a broken requirement, not the end of the report
        outcome, told = "broken", f"the answer cannot be read ({type(error).__name__}: {error})"
    return Verdict(one.id, one.section, one.level, one.words, outcome, told)
