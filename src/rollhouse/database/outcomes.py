"""What a failure of Postgres means for the request that met it: one table from SQLSTATE to outcome."""

import asyncpg

from rollhouse.scim.errors import InternalError, InvalidValue, NotFound, PreconditionFailed, ScimError, Unavailable, Uniqueness

RETRY_AFTER_SECONDS = 5

_UNDONE = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction was undone whole and is worth another try."""
_LOCKED = frozenset({"55P03", "40P01"})
"""A lock was not free in time, or never would have been."""
_LOST = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "25006"})
"""Ended by an administrator, a crash or a timeout, still starting, or read-only: another connection may reach a better server."""

_BUSY = {
    "53100": "the database's disk is full",
    "53200": "the database is out of memory",
    "53300": "the database has no free connection",
    "55P03": "a lock was not free in time",
    "57014": "the statement took too long",
    "57P01": "the database ended the connection",
    "57P02": "the database is recovering from a crash",
    "57P03": "the database is starting",
    "57P05": "the database ended the connection",
    "25P03": "the transaction took too long",
    "25P04": "the transaction took too long",
    "28000": "the database lets the service in no more",
    "28P01": "the database lets the service in no more",
    "3D000": "the database is missing on its server",
    "25006": "the database is read-only",
    "40001": "the change collided with others too often",
    "RH503": "the tenant's schemas have just been changed",
    "40P01": "the change collided with others too often",
}


_REFUSED: dict[str, tuple[type[ScimError], str]] = {
    "23505": (Uniqueness, "A resource with this value exists already in the tenant."),
    "RH404": (NotFound, "There is no such resource in this tenant."),
    "RH412": (PreconditionFailed, "The resource was changed in the meantime: read it again and send its current ETag in If-Match."),
    "54000": (InvalidValue, "The values are too large to be stored together. Send shorter or fewer values."),
    "22021": (InvalidValue, "A value holds a character that cannot be stored."),
    "22P05": (InvalidValue, "A value holds a character that cannot be stored."),
}


def meaning(error: Exception) -> ScimError | None:
    """The refusal that a database error stands for, or None when it is a fault of ours."""
    if isinstance(error, TimeoutError):
        return Unavailable("The service is busy; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
    if isinstance(error, OSError | asyncpg.PostgresConnectionError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Unavailable("The service cannot reach its database for the moment; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
    state = getattr(error, "sqlstate", None)
    if state in _BUSY:
        return Unavailable(f"The service is busy ({_BUSY[state]}); try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
    if state == "RH422":
        unknown = str(error).partition(": ")[2]
        return InvalidValue(f"None of the members exists in this tenant ({unknown}). Create the users first, then send the members again.")
    if state == "RH423":
        unknown = str(error).partition(": ")[2]
        return InvalidValue(f"This tenant is strict, and some of the members do not exist in it ({unknown}). Leave them out, or create them first.")
    if state in _REFUSED:
        kind, detail = _REFUSED[state]
        return kind(detail)
    return None


def is_of_database(error: Exception) -> bool:
    """Whether the driver or the network raised it."""
    return isinstance(error, OSError | asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def refusal_of(error: Exception) -> ScimError:
    """The refusal that a database error stands for, by the table above; any other is an InternalError, and the log names its SQLSTATE."""
    return meaning(error) or InternalError("The service met a fault of its own; it has been logged.")


def is_undone(error: Exception) -> bool:
    """Whether nothing of the statement was done, and the next try may fare better."""
    if isinstance(error, asyncpg.OutdatedSchemaCacheError | asyncpg.ProtocolError):  # the driver's words on the answer: the statement was done
        return False
    return isinstance(error, asyncpg.InternalClientError) or getattr(error, "sqlstate", None) in _UNDONE


def is_of_one(refusal: ScimError) -> bool:
    """Whether a statement in common was refused, and undone, for what one of those who share it asks, or for a lock that he would wait for."""
    cause = refusal.__cause__
    if not isinstance(cause, asyncpg.PostgresError) or is_lost(cause):
        return False
    return not isinstance(refusal, Unavailable) or cause.sqlstate in _LOCKED


def is_without_effect(refusal: ScimError) -> bool:
    """Whether the server itself said that a transaction was not committed, or it was never begun; not so when its answer was lost."""
    cause = refusal.__cause__
    return isinstance(refusal, Unavailable) and (cause is None or (isinstance(cause, asyncpg.PostgresError) and not is_lost(cause)))


def is_lost(error: Exception) -> bool:
    """Whether the connection is of no more use: broken, ended by the server, or to a server that takes no writes since a fail-over."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, asyncpg.PostgresConnectionError) or error.sqlstate in _LOST
    return is_of_database(error)
