"""What a requirement is, how a check of it is registered, and what a check can find."""

import re
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from rollhouse.conformance.probe import Probe

Level = Literal["MUST", "SHOULD"]
Outcome = Literal["passed", "broken", "not applicable"]
Check = Callable[[Probe], Awaitable[None]]
_ID = re.compile(r"(?:7643|7644|9865)-[\d.]+-\d\d")


class Broken(Exception):
    """The server does not do what is required; the text says what it did instead."""


class NotApplicable(Exception):
    """The server says that it does not have the feature, or the requirement needs something that it has not; the text says what."""


class Requirement(msgspec.Struct, frozen=True):
    """One requirement: `section` is such as `RFC 7644 3.3`, `words` say it in our own words."""

    id: str
    section: str
    level: Level
    words: str
    check: Check


class Verdict(msgspec.Struct, frozen=True):
    """What came of one requirement; `told` says why it is broken or not applicable, "" if it passed."""

    id: str
    section: str
    level: Level
    words: str
    outcome: Outcome
    told: str = ""


REQUIREMENTS: dict[str, Requirement] = {}
"""Every requirement by id, in the order of registration."""


def requirement(id_: str, section: str, level: Level, words: str) -> Callable[[Check], Check]:
    """A decorator that registers a check; the check returns if the server does what is required, and raises Broken or NotApplicable."""

    def register(check: Check) -> Check:
        if _ID.fullmatch(id_) is None or id_ in REQUIREMENTS:
            raise ValueError(f"{id_} is no id of a requirement, or is there twice")
        REQUIREMENTS[id_] = Requirement(id_, section, level, words, check)
        return check

    return register


def expect(is_so: object, told: str) -> None:
    """Go on if something is so.

    Raises:
        Broken: it is not; `told` says what was found.
    """
    if not is_so:
        raise Broken(told)
