"""The same dialogue with a second server (scim2-server): every difference between the answers is known, and has its reason in docs/conformance.md."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollhouse.database.pool import Database
from tests.conformance.dialogue import Dialogue
from tests.http.protocol import set_profile
from tests.servers.service import ScimClient, free_port

TOKEN = "peer"
EXPLAINED = {
    "replace": "a PUT that is silent about `active` keeps it: an identity provider that never maps it must not switch accounts off",
    "after replace": "the same, read back",
    "patch: an unknown operation": "`invalidSyntax`: the message has not the structure of RFC 7644 section 3.5.2; theirs says `invalidValue`",
    "members of a group": "users have `groups`, by which they are found; theirs keeps no such attribute",
    "the group after delete": "who is deleted is a member no longer; theirs goes on naming him",
}
"""Steps at which the two differ, and why ours is as it is: a table in docs/conformance.md."""
DOCS = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[ScimClient]:
    """A scim2-server with nothing in it."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("scim2-server")), "--port", str(port), "--bearer-token", TOKEN]
    with (tmp_path / "peer.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220
    client = ScimClient(f"http://127.0.0.1:{port}", TOKEN)
    try:
        for _ in range(200):
            try:
                await client.get("/ServiceProviderConfig")
                break
            except Exception:  # noqa: BLE001 - it is only starting
                assert process.poll() is None, (tmp_path / "peer.log").read_text()
                await asyncio.sleep(0.05)
        yield client
    finally:
        await client.close()
        process.terminate()
        process.wait(10)


async def test_every_difference_is_explained(acme: ScimClient, peer: ScimClient, service_database: Database) -> None:
    await set_profile(service_database, acme, strict=True)
    ours, theirs = await Dialogue(acme).hold(), await Dialogue(peer).hold()

    different = {step for step in ours.keys() | theirs.keys() if ours.get(step) != theirs.get(step)}
    told = {step: (ours.get(step), theirs.get(step)) for step in sorted(different ^ EXPLAINED.keys())}
    assert told == {}, "\n".join(f"{step}\n  ours   {pair[0]}\n  theirs {pair[1]}" for step, pair in told.items())
    assert len(ours) > 100


@pytest.mark.parametrize("step", EXPLAINED)
def test_the_reasons_are_in_the_documentation(step: str) -> None:
    assert f"| {step} | {EXPLAINED[step]} |" in DOCS.read_text()
