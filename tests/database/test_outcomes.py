"""What each failure of Postgres and of the network means: one table, every row of it."""

import asyncpg
import pytest

from rollhouse.database.outcomes import is_lost, is_of_one, is_undone, meaning, refusal_of
from rollhouse.scim.errors import InternalError, InvalidValue, NotFound, PreconditionFailed, ScimError, Unavailable, Uniqueness


def postgres_error(state: str) -> asyncpg.PostgresError:
    """The error as the driver makes it from what the server says."""
    return asyncpg.PostgresError.new({"C": state, "S": "ERROR", "M": "RH422 says: x" if state == "RH422" else "secret@acme.example"})


SERVER_STATES: list[tuple[str, type[ScimError], bool, bool]] = [
    # SQLSTATE, the refusal, whether it is tried again, whether the connection is given up
    ("40001", Unavailable, True, False),  # serialization failure
    ("40P01", Unavailable, True, False),  # deadlock
    ("08000", Unavailable, False, True),  # connection exception
    ("08001", Unavailable, False, True),  # cannot establish
    ("08003", Unavailable, False, True),  # does not exist
    ("08004", Unavailable, False, True),  # rejected
    ("08006", Unavailable, False, True),  # connection failure
    ("08P01", Unavailable, False, True),  # protocol violation: how PgBouncer says that its line was too long
    ("57P01", Unavailable, False, True),  # ended by an administrator
    ("57P02", Unavailable, False, True),  # crash of another backend
    ("57P03", Unavailable, False, True),  # starting
    ("57P05", Unavailable, False, True),  # idle too long
    ("25006", Unavailable, False, True),  # read-only since a fail-over
    ("25P03", Unavailable, False, True),  # idle in transaction too long
    ("25P04", Unavailable, False, True),  # transaction too long
    ("53100", Unavailable, False, False),  # disk full
    ("53200", Unavailable, False, False),  # out of memory
    ("53300", Unavailable, False, False),  # too many connections
    ("55P03", Unavailable, False, False),  # lock not available
    ("57014", Unavailable, False, False),  # statement timeout
    ("28000", Unavailable, False, False),  # the role is refused
    ("28P01", Unavailable, False, False),  # the password is wrong
    ("3D000", Unavailable, False, False),  # no such database
    ("23505", Uniqueness, False, False),
    ("RH404", NotFound, False, False),
    ("RH412", PreconditionFailed, False, False),
    ("RH422", InvalidValue, False, False),
    ("54000", InvalidValue, False, False),  # an index row that is too long
    ("22021", InvalidValue, False, False),  # a character that the encoding lacks
    ("22P05", InvalidValue, False, False),
    ("42501", InternalError, False, False),  # row-level security refused a row
    ("42P01", InternalError, False, False),  # no such table
    ("22000", InternalError, False, False),  # an argument of the wrong kind
    ("23503", InternalError, False, False),  # a foreign key that no function names
    ("XX000", InternalError, False, False),
]
NETWORK_ERRORS: list[tuple[Exception, bool]] = [
    (ConnectionRefusedError(), False),
    (ConnectionResetError(), False),
    (BrokenPipeError(), False),
    (FileNotFoundError("no socket"), False),
    (OSError(113, "no route to host"), False),
    (TimeoutError(), False),
    (asyncpg.InterfaceError("connection is closed"), False),
    (asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"), False),
    (asyncpg.InternalClientError("cannot switch state"), True),
    (asyncpg.TargetServerAttributeNotMatched("no host takes writes"), True),
    (asyncpg.ProtocolError("garbage"), False),
    (asyncpg.OutdatedSchemaCacheError("the answer cannot be read"), False),
]


@pytest.mark.parametrize(("state", "refusal", "is_repeated", "is_given_up"), SERVER_STATES, ids=[row[0] for row in SERVER_STATES])
def test_an_sqlstate_has_one_meaning(state: str, refusal: type[ScimError], is_repeated: bool, is_given_up: bool) -> None:
    error = postgres_error(state)

    assert type(refusal_of(error)) is refusal
    assert (is_undone(error), is_lost(error)) == (is_repeated, is_given_up)


@pytest.mark.parametrize(("error", "is_repeated"), NETWORK_ERRORS, ids=[type(row[0]).__name__ for row in NETWORK_ERRORS])
def test_an_error_of_the_network_or_the_driver_is_503_and_costs_the_connection(error: Exception, is_repeated: bool) -> None:
    assert type(meaning(error)) is Unavailable
    assert (is_undone(error), is_lost(error)) == (is_repeated, True)


@pytest.mark.parametrize("error", [postgres_error(row[0]) for row in SERVER_STATES] + [row[0] for row in NETWORK_ERRORS], ids=repr)
def test_a_503_says_when_to_come_back_and_no_refusal_repeats_what_the_server_said(error: Exception) -> None:
    refusal = refusal_of(error)

    assert (refusal.retry_after_seconds is not None) == (refusal.status == 503)
    assert "secret@acme.example" not in refusal.detail


def test_a_fault_of_our_own_is_500_and_keeps_the_connection() -> None:
    assert type(refusal_of(KeyError("x"))) is InternalError
    assert not is_lost(KeyError("x"))
    assert not is_undone(KeyError("x"))


OF_ONE = {"55P03", "40P01", "23505", "RH404", "RH412", "RH422", "RH423", "54000", "22021", "22P05", "XX000", "42883"}
OF_ALL = {"53100", "53200", "53300", "57014", "57P01", "08006", "25006", "RH503", "40001"}


@pytest.mark.parametrize("state", sorted(OF_ONE | OF_ALL))
def test_a_statement_in_common_is_taken_apart_for_the_sake_of_one_and_not_for_what_concerns_all(state: str) -> None:
    """What the disk, the clock or the registry refuses would be refused to each again."""
    error = postgres_error(state)
    refusal = refusal_of(error)
    refusal.__cause__ = error
    assert is_of_one(refusal) is (state in OF_ONE)


@pytest.mark.parametrize("cause", [None, TimeoutError(), ConnectionResetError(), asyncpg.InterfaceError("closed"), asyncpg.InternalClientError("lost")])
def test_a_statement_in_common_whose_end_nobody_knows_is_not_made_again_by_each(cause: Exception | None) -> None:
    refusal = Unavailable("The service is busy.", retry_after_seconds=1)
    refusal.__cause__ = cause
    assert not is_of_one(refusal)
