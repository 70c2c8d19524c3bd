"""The normal forms in which values are compared (RFC 7643 sections 2.2 and 2.3.5, threat T21)."""

import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollhouse.scim.keys import KEY_BYTES_LIMIT, fold_date_time, fold_text, index_key
from tests.scim.samples import thorough

_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
_MOMENTS = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=_ZONES)  # noqa: DTZ001 - zones come from _ZONES
_STORABLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


@pytest.mark.threat("T21")
@given(st.text())
@thorough
def test_folding_twice_is_folding_once(text: str) -> None:
    """T21: the key of a key is that key, or a row would not find itself."""
    folded = fold_text(text, case_exact=False)

    assert fold_text(folded, case_exact=False) == folded


@pytest.mark.threat("T21")
def test_folding_twice_is_folding_once_for_every_character() -> None:
    """T21: every code point, alone and after a letter that it may combine with."""
    unstable = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        for text in (chr(code), "a" + chr(code))
        if fold_text(once := fold_text(text, case_exact=False), case_exact=False) != once
    ]

    assert unstable == []


@pytest.mark.threat("T21")
@given(st.text(st.sampled_from("aAßẞİıſKÅﬁΐΰᾳᾼ\u0345\u0301\u0307\u0323ǰŉΣςσ"), max_size=8))
@thorough
def test_folding_twice_is_folding_once_for_combining_sequences(text: str) -> None:
    """T21: the characters whose fold is longer, composes, or depends on its neighbours."""
    folded = fold_text(text, case_exact=False)

    assert fold_text(folded, case_exact=False) == folded


@given(st.text())
@thorough
def test_exact_text_is_left_alone(text: str) -> None:
    """RFC 7643 section 7, caseExact."""
    assert fold_text(text, case_exact=True) == text


@given(st.text(st.characters(max_codepoint=127)))
@thorough
def test_the_short_way_for_ascii_is_the_long_way(text: str) -> None:
    """T21: both branches of fold_text are one function."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())

    assert fold_text(text, case_exact=False) == folded


SAME = [
    ("Ann@Acme.Example", "ann@acme.example"),
    ("STRASSE", "straße"),
    ("STRAẞE", "strasse"),
    ("ﬁnance", "FINANCE"),
    ("ſam", "SAM"),
    ("\u212aelvin", "kelvin"),
    ("\u212bngström", "ångström"),
    ("Bergstro\u0308m", "bergström"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("Ａｎｎ", "ann"),
    ("①", "1"),
    ("ǅ", "dž"),
]
DIFFERENT = [
    ("ann", "аnn"),
    ("paypal", "pаypal"),
    ("ann", "ann\u200b"),
    ("ann", "\u202eann"),
    ("ann", " ann"),
    ("ı", "i"),
    ("resume", "résumé"),
    ("O", "0"),
]


@pytest.mark.threat("T21")
@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_identity_in_two_spellings(one: str, other: str) -> None:
    """T21: key = NFKC, casefold, NFKC."""
    assert fold_text(one, case_exact=False) == fold_text(other, case_exact=False)


@pytest.mark.threat("T21")
@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_homoglyphs_and_invisible_characters_are_not_merged(one: str, other: str) -> None:
    """T21: zero-width and bidirectional characters are kept, homoglyphs are other people."""
    assert fold_text(one, case_exact=False) != fold_text(other, case_exact=False)


@given(_STORABLE | _STORABLE.map(lambda text: text * 5))
@thorough
def test_an_index_key_fits_a_btree_row(text: str) -> None:
    """A btree row of Postgres holds 2,704 bytes; a key at most 512."""
    assert len(index_key(text).encode()) <= KEY_BYTES_LIMIT


@pytest.mark.parametrize(
    ("text", "kept"), [("x" * 512, True), ("x" * 513, False), ("é" * 256, True), ("é" * 257, False), ("😀" * 128, True), ("😀" * 129, False)]
)
def test_keys_up_to_512_bytes_are_kept_whole(text: str, kept: bool) -> None:
    """Bytes count, not characters."""
    assert (index_key(text) == text) is kept


@given(st.text(st.sampled_from("aé😀"), min_size=500, max_size=600), st.text(st.sampled_from("ab"), min_size=1, max_size=3))
@thorough
def test_long_texts_that_differ_at_their_end_have_different_keys(text: str, tail: str) -> None:
    """Two long userNames are two users, and equal ones one."""
    assert index_key(text + tail) != index_key(text)
    assert index_key(text + tail) == index_key(text + tail)
    assert index_key(text)[:100] == text[:100]


@given(_MOMENTS, _MOMENTS)
@thorough
def test_text_order_of_moments_is_time_order(one: datetime, other: datetime) -> None:
    """RFC 7643 section 2.3.5: comparisons are chronological."""
    first, second = fold_date_time(one.isoformat()), fold_date_time(other.isoformat())

    assert first is not None
    assert second is not None
    assert (first < second, first == second) == (one < other, one == other)
    assert len(first) == len(second) == 27


@given(_MOMENTS)
@thorough
def test_a_folded_moment_folds_to_itself(moment: datetime) -> None:
    folded = fold_date_time(moment.isoformat())

    assert folded is not None
    assert fold_date_time(folded) == folded
    assert datetime.fromisoformat(folded) == moment.astimezone(UTC)


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("2011-05-13T04:42:34Z", "2011-05-13T04:42:34.000000Z"),
        ("2011-05-13T06:42:34+02:00", "2011-05-13T04:42:34.000000Z"),
        ("2011-05-12T23:42:34-05:00", "2011-05-13T04:42:34.000000Z"),
        ("2011-05-13T04:42:34", "2011-05-13T04:42:34.000000Z"),
        ("2011-05-13T04:42:34.5Z", "2011-05-13T04:42:34.500000Z"),
        ("2011-05-13T04:42:34.1234567Z", "2011-05-13T04:42:34.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
    ],
)
def test_forms_of_date_times(written: str, folded: str) -> None:
    """xsd:dateTime; .NET clients write seven digits of a second."""
    assert fold_date_time(written) == folded


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2011-13-01T00:00:00Z",
        "2011-02-30T00:00:00Z",
        "2011-05-13T25:00:00Z",
        "1305261754",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "\ud800",
    ],
)
def test_what_is_no_moment_folds_to_nothing(text: str) -> None:
    """Also a moment before year 1 or after year 9999 in UTC."""
    assert fold_date_time(text) is None


@pytest.mark.parametrize("text", ["2026-01-23", "2026-W04-5", "2026-W04", "20260123", "2026-01-23T04", "20260123T045622Z", "2026-01-23x04:56:22Z"])
def test_a_date_time_has_a_date_and_a_time_in_the_form_of_the_standard(text: str) -> None:
    """RFC 7643 section 2.3.5: a valid xsd:dateTime that MUST include both a date and a time."""
    assert fold_date_time(text) is None
