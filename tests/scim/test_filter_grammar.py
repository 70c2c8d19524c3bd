"""The filter and path grammar of RFC 7644 section 3.4.2.2 (figure 1) and section 3.5.2 (figure 7): text to syntax tree."""

import pytest

from rollhouse.scim.conditions import resolve_filter
from rollhouse.scim.errors import InvalidFilter, InvalidPath
from rollhouse.scim.filters import Comparison, Conjunction, Disjunction, Grouped, Inversion, Path, Presence, Value, parse_filter, parse_path
from rollhouse.scim.schemas import USER
from rollhouse.scim.tolerances import Noted, Tolerance
from tests.scim.samples import parsed

OPERATORS = ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le")


def text(attribute: str, operator: str, value: str) -> Comparison:
    return Comparison(attribute, operator, Value(value, value))  # type: ignore[arg-type]


A, B, C, D = (text(name, "eq", name) for name in "abcd")


# -- attrExp


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_comparison_operator_is_read(operator: str) -> None:
    """Figure 1, compareOp."""
    assert parsed(f'userName {operator} "bjensen"') == text("userName", operator, "bjensen")


@pytest.mark.parametrize("operator", [*OPERATORS, "pr"])
def test_operators_are_case_insensitive(operator: str) -> None:
    """Section 3.4.2.2: attribute names and attribute operators are case insensitive."""
    value = "" if operator == "pr" else ' "x"'

    assert parsed(f"userName {operator.upper()}{value}") == parsed(f"userName {operator}{value}") == parsed(f"userName {operator.title()}{value}")


def test_presence_takes_no_value() -> None:
    """Figure 1, attrPath SP "pr"."""
    assert parsed("title pr") == Presence("title")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"x"', "x"),
        ('""', ""),
        ("true", True),
        ("false", False),
        ("null", None),
        ("0", 0),
        ("-1", -1),
        ("42", 42),
        ("1.5", 1.5),
        ("-2.5e3", -2500.0),
        ("1E2", 100.0),
    ],
)
def test_every_json_value_can_be_compared_with(written: str, meant: object) -> None:
    """Figure 1, compValue = false / null / true / number / string, by the rules of JSON."""
    found = parsed(f"a eq {written}")

    assert isinstance(found, Comparison)
    assert found.value.parsed == meant
    assert type(found.value.parsed) is type(meant)


def test_a_quoted_literal_is_text() -> None:
    """Only bare true, false, null and numbers are literals (RFC 7159)."""
    assert [parsed(f'a eq "{word}"').value.parsed for word in ("true", "null", "42")] == ["true", "null", "42"]  # type: ignore[union-attr]


def test_a_number_keeps_its_text_for_text_attributes() -> None:
    """employeeNumber eq 0701 compares with the text that was written."""
    found = parsed("employeeNumber eq 701984")

    assert isinstance(found, Comparison)
    assert found.value == Value(701984, "701984")


@pytest.mark.parametrize("literal", ["True", "FALSE", "Null"])
@pytest.mark.tolerance("L03")
def test_literals_are_read_in_any_letter_case(literal: str) -> None:
    """RFC 7643 section 2.1: ABNF strings are case insensitive unless said otherwise."""
    found = parsed(f"active eq {literal}")

    assert isinstance(found, Comparison)
    assert found.value.parsed == {"true": True, "false": False, "null": None}[literal.lower()]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"a\"b"', 'a"b'),
        (r'"a\\b"', r"a\b"),
        (r'"a\/b"', "a/b"),
        (r'"\b\f\n\r\t"', "\b\f\n\r\t"),
        (r'"\u0041"', "A"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"ends in \\"', "ends in \\"),
        ('"a) and (b"', "a) and (b"),
        ('"a] or [b"', "a] or [b"),
        ('" x "', " x "),
        ('"Bergström 😀"', "Bergström 😀"),
        ('"O\'Malley"', "O'Malley"),
    ],
)
def test_json_escapes_and_marks_inside_quotes_belong_to_the_value(written: str, meant: str) -> None:
    """Figure 1: a string is a JSON string (RFC 7159 section 7)."""
    noted: Noted = set()

    assert parse_filter(f"(a eq {written})", noted) == text("a", "eq", meant)
    assert not noted


def test_no_blank_is_needed_before_a_quote() -> None:
    """The RFC's own example in section 3.5.2.2 reads `members[value eq"2819c223..."]`."""
    assert parsed('members[value eq"2819c223"]') == Grouped("members", text("value", "eq", "2819c223"))


# -- attrPath


@pytest.mark.parametrize(
    "name",
    [
        "userName",
        "name.familyName",
        "x-y_z9",
        "$ref",
        "members.$ref",
        "urn:ietf:params:scim:schemas:core:2.0:User:userName",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        "URN:IETF:params:scim:schemas:core:2.0:user:USERNAME",
    ],
)
def test_names_are_kept_as_written(name: str) -> None:
    """Figure 1, attrPath = [URI ":"] ATTRNAME *1subAttr; names are looked up elsewhere."""
    assert parsed(f"{name} pr") == Presence(name)
    assert parsed(f'{name} eq "x"') == text(name, "eq", "x")


@pytest.mark.parametrize("name", ["and", "or", "not", "pr", "eq", "true", "null"])
def test_a_reserved_word_can_be_an_attribute_name(name: str) -> None:
    """Nothing in ATTRNAME forbids it; position tells names from operators."""
    assert parsed(f'{name} eq "x" and {name} pr') == Conjunction((text(name, "eq", "x"), Presence(name)))


# -- logExp and grouping


def test_and_binds_closer_than_or() -> None:
    """Section 3.4.2.2, order of operations 2."""
    assert parsed('a eq "a" or b eq "b" and c eq "c"') == Disjunction((A, Conjunction((B, C))))
    assert parsed('a eq "a" and b eq "b" or c eq "c"') == Disjunction((Conjunction((A, B)), C))
    assert parsed('a eq "a" and b eq "b" or c eq "c" and d eq "d"') == Disjunction((Conjunction((A, B)), Conjunction((C, D))))


def test_not_binds_closer_than_and() -> None:
    """Section 3.4.2.2, order of operations 2."""
    assert parsed('not (a eq "a") and b eq "b"') == Conjunction((Inversion(A), B))
    assert parsed('a eq "a" and not(b eq "b") or c eq "c"') == Disjunction((Conjunction((A, Inversion(B))), C))


def test_parentheses_bind_closest() -> None:
    """Table 5, precedence grouping."""
    assert parsed('(a eq "a" or b eq "b") and c eq "c"') == Conjunction((Disjunction((A, B)), C))
    assert parsed('a eq "a" and (b eq "b" or c eq "c")') == Conjunction((A, Disjunction((B, C))))
    assert parsed('not (a eq "a" or b eq "b")') == Inversion(Disjunction((A, B)))


def test_parentheses_around_one_term_mean_nothing() -> None:
    assert parsed('((a eq "a"))') == A


def test_chains_of_one_operator_are_flat() -> None:
    """One Conjunction of three, not two of two: depth is for grouping only."""
    assert parsed('a eq "a" and b eq "b" and c eq "c"') == Conjunction((A, B, C))
    assert parsed('a eq "a" or b eq "b" or c eq "c"') == Disjunction((A, B, C))


def test_double_negation_is_kept() -> None:
    assert parsed('not (not (a eq "a"))') == Inversion(Inversion(A))


@pytest.mark.parametrize("written", ['a EQ "a" AND NOT (b Eq "b") OR c eQ "c"', 'a eq "a" And Not(b eq "b")Or c eq "c"'])
def test_logical_operators_are_case_insensitive(written: str) -> None:
    """ABNF strings are case insensitive."""
    assert parsed(written) == Disjunction((Conjunction((A, Inversion(B))), C))


@pytest.mark.parametrize("written", ['  a   eq   "a"  ', '\ta\teq\t"a"\n', '( a eq "a" )', 'a\r\neq "a"'])
def test_any_blanks_separate(written: str) -> None:
    """Figure 2 itself folds its filters over lines."""
    assert parsed(written) == A


# -- valuePath


def test_a_value_path_groups_conditions_on_one_element() -> None:
    """Figure 1, valuePath = attrPath "[" valFilter "]"."""
    assert parsed('emails[type eq "work" and value co "@example.com"]') == Grouped(
        "emails", Conjunction((text("type", "eq", "work"), text("value", "co", "@example.com")))
    )


def test_a_value_path_takes_every_form_of_filter_inside() -> None:
    """Figure 1, valFilter = attrExp / logExp / *1"not" "(" valFilter ")"."""
    assert parsed('e[not (a eq "a") or (b eq "b" and c pr)]') == Grouped("e", Disjunction((Inversion(A), Conjunction((B, Presence("c"))))))


def test_value_paths_combine_with_other_terms() -> None:
    """Figure 2, last example."""
    assert parsed('e[a eq "a"] or not (f[b eq "b"]) and c eq "c"') == Disjunction((Grouped("e", A), Conjunction((Inversion(Grouped("f", B)), C))))


def test_a_value_path_may_carry_a_urn() -> None:
    assert parsed('urn:ietf:params:scim:schemas:core:2.0:User:emails[a eq "a"]') == Grouped("urn:ietf:params:scim:schemas:core:2.0:User:emails", A)


@pytest.mark.tolerance("L18")
def test_a_sub_attribute_after_the_brackets_is_one_more_condition_on_the_element() -> None:
    """L18: Entra sends `emails[type eq "work"].value eq "x"` when its matching attribute is an e-mail."""
    wanted = Grouped("emails", Conjunction((text("type", "eq", "work"), text("value", "eq", "x"))))

    assert parsed('emails[type eq "work"].value eq "x"') == wanted
    assert parsed('EMAILS[type eq "work"].value EQ "x"') == Grouped("EMAILS", wanted.filter)
    assert parsed('emails[type eq "work"].value pr') == Grouped("emails", Conjunction((text("type", "eq", "work"), Presence("value"))))


@pytest.mark.tolerance("L18")
def test_a_comparison_after_the_brackets_means_the_value() -> None:
    """L18: the malformed `emails[type eq "work"] eq "x"` of old documentation."""
    noted: Noted = set()

    assert parse_filter('emails[type eq "work"] eq "x"', noted) == parsed('emails[type eq "work"].value eq "x"')
    assert noted == {Tolerance.FILTER_DIALECT}


# -- tolerated values


@pytest.mark.tolerance("L18")
@pytest.mark.parametrize(
    "word", ["jyoung", "7d420df3-4f0a-4c7a-8f3e-0a3d7a3f3c11", "ann@acme.example", "01", "1.", "+1", "Infinity", "NaN", "1e999", "trueish"]
)
def test_a_bareword_is_text(word: str) -> None:
    """L18: Microsoft's samples leave values unquoted; what is no JSON literal is text."""
    noted: Noted = set()

    assert parse_filter(f"externalId eq {word}", noted) == text("externalId", "eq", word)
    assert noted == {Tolerance.FILTER_DIALECT}


@pytest.mark.tolerance("L18")
def test_barewords_end_where_grouping_ends() -> None:
    """`id eq <guid> and manager eq <guid>` is a filter of Microsoft's documentation."""
    assert parsed("(a eq a and e[b eq b])") == Conjunction((A, Grouped("e", B)))


@pytest.mark.tolerance("L18")
@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ('The "Best" Team', 'The "Best" Team'),
        ('6" pipe', '6" pipe'),
        ('"quoted"', '"quoted"'),
        ("ends in a backslash\\", "ends in a backslash\\"),
        ('a"', 'a"'),
    ],
)
def test_unescaped_quotes_reach_to_the_last_quote(value: str, meant: str) -> None:
    """Client catalogue section 2: Entra does not escape quotes in values."""
    noted: Noted = set()

    assert parse_filter(f'displayName eq "{value}"', noted) == text("displayName", "eq", meant)
    assert noted == {Tolerance.FILTER_DIALECT}


@pytest.mark.tolerance("L18")
def test_a_lone_backslash_stays() -> None:
    r"""`DOMAIN\name` is sent without an escape."""
    assert parsed(r'userName eq "DOMAIN\user"') == text("userName", "eq", r"DOMAIN\user")
    assert parsed(r'userName eq "DOMAIN\zoe"') == text("userName", "eq", r"DOMAIN\zoe")


# -- malformed filters


MALFORMED = [
    ("", "at its end"),
    ("   ", "at its end"),
    ("userName", "at its end"),
    ("userName eq", "at its end"),
    ('eq "x"', "at character 4"),
    ('userName "x"', "at character 10"),
    ('userName = "x"', "at character 10"),
    ("userName regex abc", "at character 10"),
    ('userName eq "x" extra', "at character 17"),
    ('userName eq "x" and', "at its end"),
    ('userName eq "x" or or title pr', "at character 23"),
    ('and userName eq "x"', "at character 5"),
    ('(userName eq "x"', "at its end"),
    ('userName eq "x")', "at character 16"),
    ("()", "at character 2"),
    ("not ()", "at character 6"),
    ('not userName eq "x"', "at character 5"),
    ('emails[type eq "work"', "at its end"),
    ('emails[type eq "work")', "at character 22"),
    ("emails[]", "at character 8"),
    ('emails[type eq "work"].', "at its end"),
    ('emails[type eq "work"].value', "at its end"),
    ('[type eq "work"]', "at character 1"),
    ('userName eq "x', "at character 13"),
    ('userName eq "x"y"z', "at character 16"),
    ('title pr and userName eq "x', "at character 26"),
    ("title pr pr", "at character 10"),
    ("userName eq (x)", "at character 13"),
    ("userName eq [x]", "at character 13"),
    ('userName eq "x"; drop table users', "at character 16"),
]


@pytest.mark.parametrize(("written", "where"), MALFORMED, ids=[written or "empty" for written, _ in MALFORMED])
@pytest.mark.tolerance("L19")
def test_a_malformed_filter_is_refused_and_the_detail_says_where(written: str, where: str) -> None:
    """Section 3.4.2.2: 400 invalidFilter, never an empty list or everybody (L19)."""
    with pytest.raises(InvalidFilter) as refusal:
        parsed(written)

    assert refusal.value.status == 400
    assert refusal.value.scim_type == "invalidFilter"
    assert where in refusal.value.detail


@pytest.mark.parametrize(
    "written",
    [
        'userName eq "a" xor userName eq "b"',
        'userName eq "a" && userName eq "b"',
        'userName eq "a", userName eq "b"',
        'userName eq "a") or (userName eq "b"',
        'userName eq "a" or userName eq "b" foo userName eq "c"',
    ],
)
@pytest.mark.tolerance("L19")
def test_a_malformed_combination_is_not_taken_for_one_value_with_quotes(written: str) -> None:
    """L19: read as one long value it would match nobody, and an empty list makes Entra create duplicates."""
    with pytest.raises(InvalidFilter):
        parsed(written)


def test_an_unknown_operator_is_named_in_the_refusal() -> None:
    """Section 3.4.2.2: "The operator 'regex' is not supported" helps the client's author."""
    with pytest.raises(InvalidFilter, match="regex"):
        parsed('userName regex "b.*"')


def test_the_position_is_right_when_lower_case_is_longer() -> None:
    """The operator is compared in lower case, and "İ" has a longer one: positions count what was sent."""
    with pytest.raises(InvalidFilter) as refusal:
        parsed("a " + "İ" * 10)

    assert "at character 3," in refusal.value.detail


def test_the_detail_echoes_at_most_64_characters_at_a_time() -> None:
    """House style: a detail echoes at most 64 characters of input."""
    with pytest.raises(InvalidFilter) as refusal:
        parsed('userName eq "' + "s3cret" * 500 + '" extra')

    assert refusal.value.detail.count("s3cret") <= 11
    assert len(refusal.value.detail) < 250


def test_the_detail_holds_no_control_characters() -> None:
    """Details reach logs and terminals."""
    with pytest.raises(InvalidFilter) as refusal:
        parsed("userName\x00\x1b[31m eq\ud800")

    assert refusal.value.detail.isprintable()
    refusal.value.detail.encode()


# -- limits, threat T12


@pytest.mark.threat("T12")
def test_4096_characters_are_read_and_4097_are_not() -> None:
    """T12: length is checked before parsing."""
    head = 'userName eq "'
    longest = head + "x" * (4096 - len(head) - 1) + '"'

    assert len(longest) == 4096
    assert parsed(longest) == text("userName", "eq", longest[len(head) : -1])
    with pytest.raises(InvalidFilter, match="4097 characters"):
        parsed(longest + " ")


@pytest.mark.threat("T12")
@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("not (", ")"), ("not(", ")")])
def test_16_levels_are_read_and_17_are_not(opening: str, closing: str) -> None:
    """T12: depth is checked while parsing."""
    found = parsed(opening * 16 + 'a eq "a"' + closing * 16)

    for _ in range(16 if "not" in opening else 0):
        assert isinstance(found, Inversion)
        found = found.term
    assert found == A
    with pytest.raises(InvalidFilter, match="16 levels"):
        parsed(opening * 17 + 'a eq "a"' + closing * 17)


@pytest.mark.threat("T12")
def test_brackets_count_as_a_level() -> None:
    """T12."""
    assert parsed("(" * 15 + 'e[a eq "a"]' + ")" * 15) == Grouped("e", A)
    with pytest.raises(InvalidFilter, match="16 levels"):
        parsed("(" * 16 + 'e[a eq "a"]' + ")" * 16)


@pytest.mark.threat("T12")
def test_levels_are_counted_by_depth_not_by_number() -> None:
    """Groups side by side are not nested."""
    assert parsed(" and ".join(['(a eq "a")'] * 17)) == Conjunction((A,) * 17)


@pytest.mark.threat("T12")
@pytest.mark.parametrize("operator", ["and", "or"])
def test_100_terms_are_read_and_101_are_not(operator: str) -> None:
    """T12: wide filters cost the database, deep ones the stack."""
    found = parsed(f" {operator} ".join(["a pr"] * 100))

    assert isinstance(found, Conjunction | Disjunction)
    assert len(found.terms) == 100
    with pytest.raises(InvalidFilter, match="100 terms"):
        parsed(f" {operator} ".join(["a pr"] * 101))


@pytest.mark.threat("T12")
def test_terms_inside_groups_count() -> None:
    """T12: the limit cannot be passed by splitting the terms over value paths."""
    with pytest.raises(InvalidFilter, match="100 terms"):
        parsed(" or ".join(["e[a pr and b pr and c pr]"] * 40))


@pytest.mark.threat("T12")
def test_parentheses_are_no_terms() -> None:
    """100 comparisons are 100 terms, however they are grouped."""
    found = parsed(" or ".join(["(a pr)"] * 100))

    assert isinstance(found, Disjunction)
    assert len(found.terms) == 100


@pytest.mark.threat("T12")
@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 100_000,
        "not(" * 100_000,
        "not (" * 25_000 + "%",
        "a[" * 50_000,
        "(" * 4096,
        "not(" * 1024,
        "not(" * 1023 + "%%",
        "a[" * 2048,
        '"' * 4096,
        "\\" * 4096,
    ],
    ids=["parens", "not", "not-bad", "brackets", "parens-fit", "not-fit", "not-bad-fit", "brackets-fit", "quotes-fit", "backslashes-fit"],
)
def test_hostile_nesting_is_refused_without_recursion(hostile: str) -> None:
    """T12: no RecursionError, whether the length or the depth is met first."""
    with pytest.raises(InvalidFilter):
        parsed(hostile)


@pytest.mark.threat("T12")
@pytest.mark.parametrize("name", ["a" + ".b" * 2000, "urn" + ":x" * 2000, "urn:ietf:params:scim:schemas:core:2.0:User:" + "userName." * 400])
def test_a_long_dotted_name_is_refused_as_unknown(name: str) -> None:
    """T12: long dotted paths."""
    with pytest.raises(InvalidFilter, match="not an attribute"):
        resolve_filter(USER, parsed(f"{name} pr"))


# -- PATCH paths


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("members", Path("members")),
        ("name.familyName", Path("name.familyName")),
        ('addresses[type eq "work"]', Path("addresses", text("type", "eq", "work"))),
        ('members[value eq "2819c223"]', Path("members", text("value", "eq", "2819c223"))),
        ('members[value eq "2819c223"].displayName', Path("members", text("value", "eq", "2819c223"), "displayName")),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", Path("urn:ietf:params:scim:schemas:core:2.0:User:userName")),
        ('roles[primary eq "True"].value', Path("roles", text("primary", "eq", "True"), "value")),
        ('emails[type eq "work" and not (value sw "a")]', Path("emails", Conjunction((text("type", "eq", "work"), Inversion(text("value", "sw", "a")))))),
        ("  userName  ", Path("userName")),
    ],
)
def test_every_form_of_path_is_read(written: str, meant: Path) -> None:
    """Figure 7, PATH = attrPath / valuePath [subAttr], with the examples of figure 8."""
    assert parse_path(written, set()) == meant


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("", "at its end"),
        (" ", "at its end"),
        ("a b", "at character 3"),
        ("emails[", "at its end"),
        ("emails[]", "at character 8"),
        ('emails[type eq "work"', "at its end"),
        ('emails[type eq "work"]value', "at character 23"),
        ('emails[type eq "work"].', "at its end"),
        ('emails[type eq "work"] .value', "at character 24"),
        ('emails[type eq "work"][value pr]', "at character 23"),
        ("[value pr]", "at character 1"),
        ('userName eq "x"', "at character 10"),
        ("emails[type regex x]", "at character 13"),
        ("(emails)", "at character 1"),
        ('"emails"', "at character 1"),
    ],
)
def test_a_malformed_path_is_refused_and_the_detail_says_where(written: str, where: str) -> None:
    """Table 9, invalidPath."""
    with pytest.raises(InvalidPath) as refusal:
        parse_path(written, set())

    assert (refusal.value.status, refusal.value.scim_type) == (400, "invalidPath")
    assert where in refusal.value.detail


@pytest.mark.threat("T12")
def test_paths_have_the_limits_of_filters() -> None:
    """T12."""
    assert parse_path("a" * 4096, set()) == Path("a" * 4096)
    with pytest.raises(InvalidPath, match="4097 characters"):
        parse_path("a" * 4097, set())
    assert parse_path("a[" + "(" * 15 + "b pr" + ")" * 15 + "]", set()) == Path("a", Presence("b"))
    with pytest.raises(InvalidPath, match="16 levels"):
        parse_path("a[" + "(" * 16 + "b pr" + ")" * 16 + "]", set())
    with pytest.raises(InvalidPath, match="100 terms"):
        parse_path("a[" + " or ".join(["b pr"] * 101) + "]", set())
    for hostile in ("a[" * 100_000, "a[" * 2048, "a[" + "not(" * 1000):
        with pytest.raises(InvalidPath):
            parse_path(hostile, set())
