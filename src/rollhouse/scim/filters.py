"""The filter grammar of RFC 7644 section 3.4.2.2 and the PATCH path grammar of section 3.5.2: text to syntax tree.

One pass over the text without backtracking (regular expressions read single tokens, never nested input); the number of
steps is linear in the length. Names are not looked up here (see `conditions`).
"""

import re
from typing import Literal

import msgspec

from rollhouse.scim.errors import BadRequest, InvalidFilter, InvalidPath, quoted
from rollhouse.scim.tolerances import Noted, Tolerance

FILTER_CHARACTERS_LIMIT = 4096
FILTER_DEPTH_LIMIT = 16
FILTER_TERMS_LIMIT = 100

Operator = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]
_OPERATORS: dict[str, Operator] = {"eq": "eq", "ne": "ne", "co": "co", "sw": "sw", "ew": "ew", "gt": "gt", "ge": "ge", "lt": "lt", "le": "le"}
_LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_BLANK = " \t\r\n"
_BLANKS = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"[^ \t\r\n()\[\]\"]*")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
"""Each reads one token and cannot backtrack: no two of its parts can match the same character."""

Literals = str | bool | int | float | None


class Value(msgspec.Struct, frozen=True):
    """A comparison value: what it means as JSON, and the text as it was written (for text attributes)."""

    parsed: Literals
    text: str


class Comparison(msgspec.Struct, frozen=True):
    """`attribute operator value`; `attribute` is the name as written, with URN and sub-attribute."""

    attribute: str
    operator: Operator
    value: Value


class Presence(msgspec.Struct, frozen=True):
    """`attribute pr`."""

    attribute: str


class Grouped(msgspec.Struct, frozen=True):
    """`attribute[filter]`: one element of the attribute matches the whole filter."""

    attribute: str
    filter: "Filter"


class Conjunction(msgspec.Struct, frozen=True):
    """Two or more filters that must all match."""

    terms: tuple["Filter", ...]


class Disjunction(msgspec.Struct, frozen=True):
    """Two or more filters of which one must match."""

    terms: tuple["Filter", ...]


class Inversion(msgspec.Struct, frozen=True):
    """`not (filter)`."""

    term: "Filter"


Filter = Comparison | Presence | Grouped | Conjunction | Disjunction | Inversion


class Path(msgspec.Struct, frozen=True):
    """A PATCH path: attribute name as written, optional value filter, optional sub-attribute after the filter."""

    attribute: str
    filter: Filter | None = None
    sub: str | None = None


def parse_filter(text: str, noted: Noted) -> Filter:
    """The syntax tree of a filter.

    At most 4,096 characters, 16 levels of grouping and 100 terms. Unquoted values and unescaped quotes inside a
    single comparison are accepted (L18).

    Raises:
        InvalidFilter: the text is not a filter, or is longer or deeper than allowed.
    """
    if len(text) > FILTER_CHARACTERS_LIMIT:
        raise InvalidFilter(f"The filter is {len(text)} characters long; at most {FILTER_CHARACTERS_LIMIT} are read. Use a shorter filter.")
    parser = _Parser(text, InvalidFilter, noted)
    try:
        return parser.whole_filter()
    except InvalidFilter:
        forgiven = _with_unescaped_quotes(text)
        if forgiven is None:
            raise
        noted.add(Tolerance.FILTER_DIALECT)
        return forgiven


def parse_path(text: str, noted: Noted) -> Path:
    """The parts of a PATCH path: `attr`, `attr.sub`, `attr[filter]`, `attr[filter].sub`, each with or without a URN.

    Raises:
        InvalidPath: the text is not a path.
    """
    if len(text) > FILTER_CHARACTERS_LIMIT:
        raise InvalidPath(f"The path is {len(text)} characters long; at most {FILTER_CHARACTERS_LIMIT} are read.")
    return _Parser(text, InvalidPath, noted).whole_path()


def _with_unescaped_quotes(text: str) -> Filter | None:
    """A lone comparison whose value holds unescaped quotes: the value runs to the last quote (client catalogue, section 2)."""
    head, quote, rest = text.strip().partition('"')
    words = head.split()
    if not quote or len(words) != len(("attribute", "operator")) or words[1].lower() not in _OPERATORS or not rest.endswith('"'):
        return None
    value = rest[:-1]
    parts = [part.split() for part in value.lower().split('"')[1:]]
    if any(part[:1] in (["and"], ["or"]) or (part and part[-1] in _OPERATORS) for part in parts) or any(mark in words[0] for mark in "[]()"):
        return None  # a combination gone wrong: refused rather than searched for as one long value (L19)
    return Comparison(words[0], _OPERATORS[words[1].lower()], Value(value, value))


class _Parser:
    """A recursive-descent parser over one text; each character is looked at a bounded number of times."""

    def __init__(self, text: str, error: type[BadRequest], noted: Noted) -> None:
        self.text = text
        self.error = error
        self.noted = noted
        self.at = 0
        self.depth = 0
        self.terms = 0

    def fail(self, expected: str) -> BadRequest:
        found = self.text[self.at : self.at + 20]
        where = f"at character {self.at + 1}, before {quoted(found)}" if found else "at its end"
        kind = "filter" if self.error is InvalidFilter else "path"
        return self.error(f"The {kind} {quoted(self.text)} cannot be read: expected {expected} {where}.")

    # -- filters

    def whole_filter(self) -> Filter:
        found = self.disjunction()
        self.blanks()
        if self.at < len(self.text):
            raise self.fail('"and", "or" or the end')
        return found

    def disjunction(self) -> Filter:
        terms = [self.conjunction()]
        while self.keyword("or"):
            terms.append(self.conjunction())
        return terms[0] if len(terms) == 1 else Disjunction(tuple(terms))

    def conjunction(self) -> Filter:
        terms = [self.term()]
        while self.keyword("and"):
            terms.append(self.term())
        return terms[0] if len(terms) == 1 else Conjunction(tuple(terms))

    def term(self) -> Filter:
        self.blanks()
        if self.peek() == "(":
            return self.nested("(", ")")
        self.terms += 1
        if self.terms > FILTER_TERMS_LIMIT:
            raise self.error(f"The filter has more than {FILTER_TERMS_LIMIT} terms. Ask for less in one request.")
        start = self.at
        word = self.word()
        if word.lower() == "not":
            self.blanks()
            if self.peek() == "(":
                return Inversion(self.nested("(", ")"))
        if not word:
            self.at = start
            raise self.fail("an attribute name")
        if self.peek() == "[":
            return self.value_path(word)
        return self.comparison(word)

    def nested(self, opening: str, closing: str) -> Filter:
        self.depth += 1
        if self.depth > FILTER_DEPTH_LIMIT:
            raise self.error(f"The filter is nested more than {FILTER_DEPTH_LIMIT} levels deep. Use a flatter filter.")
        self.expect(opening)
        found = self.disjunction()
        self.blanks()
        self.expect(closing)
        self.depth -= 1
        return found

    def value_path(self, attribute: str) -> Filter:
        inner = self.nested("[", "]")
        sub = self.sub_attribute()
        before = self.at
        operator = self.word_after_blanks().lower()
        self.at = before
        if sub is None and operator not in _OPERATORS and operator != "pr":
            return Grouped(attribute, inner)
        if sub is None:
            self.noted.add(Tolerance.FILTER_DIALECT)  # emails[type eq "work"] eq "x", from old samples
        return Grouped(attribute, Conjunction((inner, self.comparison(sub or "value"))))

    def comparison(self, attribute: str) -> Filter:
        self.blanks()
        start = self.at
        operator = self.word().lower()
        if operator == "pr":
            return Presence(attribute)
        if operator not in _OPERATORS:
            self.at = start
            raise self.fail("an operator (eq, ne, co, sw, ew, gt, ge, lt, le, pr)")
        self.blanks()
        return Comparison(attribute, _OPERATORS[operator], self.value())

    def value(self) -> Value:
        if self.peek() == '"':
            return self.quoted_value()
        text = self.word()
        if not text:
            raise self.fail("a value")
        lowered = text.lower()
        if lowered in _LITERALS:
            return Value(_LITERALS[lowered], text)
        try:
            number = msgspec.json.decode(text, type=int | float)
        except (msgspec.DecodeError, UnicodeEncodeError):
            self.noted.add(Tolerance.FILTER_DIALECT)
            return Value(text, text)
        return Value(number, text)

    def quoted_value(self) -> Value:
        start = self.at
        found = _QUOTED.match(self.text, start)
        if found is None:
            raise self.fail("a closing quote")
        self.at = found.end()
        if self.peek() not in ("", *_BLANK, ")", "]"):
            raise self.fail("a blank after the value")
        try:
            value = msgspec.json.decode(found[0], type=str) if "\\" in found[0] else found[0][1:-1]
        except (msgspec.DecodeError, UnicodeEncodeError):
            self.noted.add(Tolerance.FILTER_DIALECT)  # a lone backslash, as in DOMAIN\name
            value = found[0][1:-1]
        return Value(value, value)

    # -- paths

    def whole_path(self) -> Path:
        self.blanks()
        attribute = self.word()
        if not attribute:
            raise self.fail("an attribute name")
        inner = self.nested("[", "]") if self.peek() == "[" else None
        sub = self.sub_attribute() if inner is not None else None
        self.blanks()
        if self.at < len(self.text):
            raise self.fail("the end of the path")
        return Path(attribute, inner, sub)

    def sub_attribute(self) -> str | None:
        if self.peek() != ".":
            return None
        self.at += 1
        name = self.word()
        if not name:
            raise self.fail("a sub-attribute name")
        return name

    # -- characters

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def blanks(self) -> None:
        found = _BLANKS.match(self.text, self.at)
        self.at = found.end() if found is not None else self.at

    def word(self) -> str:
        found = _WORD.match(self.text, self.at)
        self.at = found.end() if found is not None else self.at
        return found[0] if found is not None else ""

    def word_after_blanks(self) -> str:
        self.blanks()
        return self.word()

    def keyword(self, wanted: str) -> bool:
        start = self.at
        if start == len(self.text):
            return False
        if self.word_after_blanks().lower() == wanted:
            return True
        self.at = start
        return False

    def expect(self, mark: str) -> None:
        if self.peek() != mark:
            raise self.fail(f'"{mark}"')
        self.at += 1
