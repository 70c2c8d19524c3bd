"""What a refusal by our own fault leaves: a line in the log with its cause, and its name for the request's line and trace."""

from typing import Any

from rollhouse.scim.errors import InternalError, ScimError, Unavailable
from rollhouse.telemetry.logs import log_fault
from rollhouse.telemetry.traces import error_type


def note_refusal(scope: Any, error: ScimError) -> None:
    """Log a fault, or that something the service needs is away; other refusals are the client's, and leave nothing."""
    if isinstance(error, InternalError):
        log_fault("request.fault", error, method=scope["method"], route=scope.get("path_template"))
    elif not isinstance(error, Unavailable):
        return
    elif error.__cause__ is not None:
        log_fault("request.unavailable", error, method=scope["method"], route=scope.get("path_template"))
    scope["state"]["error"] = error_type(error)
