"""Properties of the filter parser: it reads what was meant, refuses in one way only, and its work is linear in the length."""

import gc
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollhouse.scim import filters
from rollhouse.scim.errors import InvalidFilter, InvalidPath
from rollhouse.scim.filters import Comparison, Conjunction, Disjunction, Filter, Grouped, Inversion, Presence, Value, parse_filter, parse_path
from tests.scim.samples import thorough

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_URNS = ("", "urn:ietf:params:scim:schemas:core:2.0:User:", "urn:example:2.0:x:")
_NAMES = st.builds(lambda first, rest: first + rest, st.sampled_from(_LETTERS), st.text(_LETTERS + "0123456789-_$", max_size=5)).filter(
    lambda name: name.lower() != "not"
)
_ATTRIBUTES = st.builds(lambda urn, name, sub: urn + ".".join([name, *sub]), st.sampled_from(_URNS), _NAMES, st.lists(_NAMES, max_size=1))
_OPERATORS = st.sampled_from(["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"])
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(lambda text: Value(text, text))
_LITERALS = st.sampled_from([Value(True, "true"), Value(False, "false"), Value(None, "null"), Value(0, "0"), Value(-17, "-17"), Value(2.5, "2.5")])
_TERMS: st.SearchStrategy[Filter] = st.builds(Comparison, _ATTRIBUTES, _OPERATORS, _TEXTS | _LITERALS) | st.builds(Presence, _ATTRIBUTES)


def _combined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=2, max_size=3)
    return (
        several.map(lambda terms: Conjunction(tuple(terms)) if not any(isinstance(term, Conjunction) for term in terms) else terms[0])
        | several.map(lambda terms: Disjunction(tuple(terms)) if not any(isinstance(term, Disjunction) for term in terms) else terms[0])
        | inner.map(Inversion)
        | st.builds(Grouped, _ATTRIBUTES, inner)
    )


_FILTERS = st.recursive(_TERMS, _combined, max_leaves=8)


class _Writer:
    """Text of a syntax tree in one of the many ways in which it can be written."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def blank(self, least: int = 0) -> str:
        return str(self.draw(st.text(" \t\n", min_size=least, max_size=2)))

    def word(self, word: str) -> str:
        return "".join(self.draw(st.sampled_from([mark.lower(), mark.upper()])) for mark in word)

    def value(self, value: Value) -> str:
        if not isinstance(value.parsed, str):
            return value.text
        return '"' + "".join(self.mark(mark) for mark in value.text) + '"'

    def mark(self, mark: str) -> str:
        if mark in '"\\':
            return "\\" + mark
        if mark < " " or self.draw(st.integers(0, 5)) == 0:
            units = mark.encode("utf-16-be")
            return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
        return mark

    def write(self, tree: Filter, *, binds: int = 0) -> str:
        """`binds`: 0 anything may stand here, 1 no `or`, 2 neither `and` nor `or`."""
        match tree:
            case Comparison(attribute, operator, value):
                written = attribute + self.blank(1) + self.word(operator) + self.blank(1) + self.value(value)
            case Presence(attribute):
                written = attribute + self.blank(1) + self.word("pr")
            case Grouped(attribute, inner):
                written = attribute + "[" + self.blank() + self.write(inner) + self.blank() + "]"
            case Inversion(term):
                written = self.word("not") + self.blank() + "(" + self.blank() + self.write(term) + self.blank() + ")"
            case Conjunction(terms):
                written = self.joined("and", terms, 2)
            case Disjunction(terms):
                written = self.joined("or", terms, 1)
        must = (isinstance(tree, Disjunction) and binds > 0) or (isinstance(tree, Conjunction) and binds > 1)
        if must or self.draw(st.integers(0, 6)) == 0:
            written = "(" + self.blank() + written + self.blank() + ")"
        return written

    def joined(self, operator: str, terms: tuple[Filter, ...], binds: int) -> str:
        return (self.blank(1) + self.word(operator) + self.blank(1)).join(self.write(term, binds=binds) for term in terms)


@given(st.data())
@settings(parent=thorough, max_examples=250)
def test_what_is_written_is_what_is_read(data: st.DataObject) -> None:
    """Section 3.4.2.2: spacing, letter case, escapes and redundant parentheses do not change the meaning."""
    tree = data.draw(_FILTERS)
    written = _Writer(data.draw).write(tree)
    noted: set[Any] = set()

    if len(written) > filters.FILTER_CHARACTERS_LIMIT:
        with pytest.raises(InvalidFilter):
            parse_filter(written, noted)
    else:
        assert parse_filter(written, noted) == tree
        assert not noted


_PIECES = st.sampled_from(
    [
        "(",
        ")",
        "[",
        "]",
        '"',
        "\\",
        " ",
        ".",
        ":",
        "not",
        "not(",
        " and ",
        " or ",
        "a",
        "urn:x:2.0:",
        " eq ",
        " pr",
        '"x"',
        "\\u",
        "null",
        "1e9",
        "\ud800",
        "\x00",
        "İ",
    ]
)


@pytest.mark.threat("T12")
@given(st.text(max_size=60) | st.lists(_PIECES, max_size=40).map("".join) | st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=20))
@settings(parent=thorough, max_examples=400)
def test_any_text_is_read_or_refused_as_invalid(text: str) -> None:
    """T12: nothing but the two refusals ever comes out, and each has a detail that can be sent."""
    for parse, refusal in ((parse_filter, InvalidFilter), (parse_path, InvalidPath)):
        try:
            parse(text, set())
        except refusal as refused:
            refused.detail.encode()


def _steps(text: str) -> int:
    """How many calls, Python's and C's, the parser makes for a text; the same on every machine."""
    count = 0

    def step(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    gc.disable()  # what a collection calls meanwhile is not the parser's
    sys.setprofile(step)
    try:
        parse_filter(text, set())
    except InvalidFilter:
        pass
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def _lines(text: str) -> int:
    """How many lines of the parser run for a text, which counts the turns of its loops too."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != filters.__file__:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parse_filter(text, set())
    except InvalidFilter:
        pass
    finally:
        sys.settrace(before)
    return count


@pytest.mark.threat("T12")
@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("one long value", lambda n: 'a eq "' + "x" * n + '"'),
        ("escapes", lambda n: 'a eq "' + "\\\\" * n + '"'),
        ("escaped quotes", lambda n: 'a eq "' + '\\"' * n + '"'),
        ("bareword", lambda n: "a eq " + "x" * n),
        ("long name", lambda n: "a" * n + " pr"),
        ("dotted name", lambda n: "a" + ".b" * n + " pr"),
        ("blanks", lambda n: "a pr" + " " * n),
        ("blanks in groups", lambda n: "(" * 16 + "a pr" + (" " * (n // 16) + ")") * 16),
        ("word after groups", lambda n: "(" * 15 + "a pr" + ")" * 15 + " " + "x" * n),
        ("word after brackets", lambda n: "(" * 14 + 'e[a eq "a"] ' + "x" * n),
        ("terms", lambda n: " or ".join(["a pr"] * (n // 20))),
        ("unescaped quotes", lambda n: 'a eq "' + '" ' * n + '"'),
        ("quotes", lambda n: '"' * n),
        ("unclosed", lambda n: 'a eq "' + "x" * n),
        ("not", lambda n: "not(" * (n // 64) + "a pr"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_work_is_linear_in_the_length(name: str, of: Callable[[int], str]) -> None:
    """T12: twice the text is at most about twice the calls and lines, for every shape that invites going back."""
    for count in (_steps, _lines):
        short, middle, long = (count(of(length)) for length in (250, 500, 1000))

        assert middle - short <= 250 * 40
        assert long - middle <= 2.2 * max(middle - short, 40)
