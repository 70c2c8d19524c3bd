"""The operator's key of a run: the caller's own, or one that is made for the run in the data dir of `make run` and revoked after it."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from loadtests.processes import KEY_VARIABLE

ROLLHOUSE = Path(sys.executable).with_name("rollhouse")
SCOPES = ("tenants:read", "tenants:write", "credentials:read", "credentials:write")


class NoKeyError(Exception):
    """There is no key, and none can be made; the message says what to do."""


@contextlib.contextmanager
def operator_key(data_dir: Path) -> Iterator[str]:
    """A key for as long as tenants are made ready.

    Raises:
        NoKeyError: none is given, and there is no running `make run` that one could be made for.
    """
    given = os.environ.get(KEY_VARIABLE, "").strip()
    if given:
        yield given
        return
    if not (data_dir / "private" / "dev.json").exists():
        raise NoKeyError(
            f"Set {KEY_VARIABLE} to an operator's key with the scopes {', '.join(SCOPES)}, or name the folder of a running `make run` with --data-dir."
        )
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    made = json.loads(_rollhouse(data_dir, "create", *scopes, "--label", "loadtests", "--expires", "1d"))
    try:
        yield str(made["key"])
    finally:
        _rollhouse(data_dir, "revoke", made["prefix"])


def _rollhouse(data_dir: Path, *arguments: str) -> bytes:
    command = [ROLLHOUSE, "api-key", arguments[0], "--json", "--data-dir", str(data_dir), *arguments[1:]]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise NoKeyError(done.stderr.decode().strip().removeprefix("Error: "))
    return done.stdout
