"""Other people's conformance suites, run as programs beside our own checks: what they tried, and what they found fault with."""

import asyncio
import importlib.util
import json
import os
import sys

import msgspec

SECONDS = 300
EXTRA = "they come with: pip install rollhouse[conformance]"
_GOOD = ("SUCCESS", "COMPLIANT", "ACCEPTABLE")
_KNOWN = {
    "PATCH /Groups/{id}": "wants 200 with the group in the body; RFC 7644 section 3.5.2 allows 204, too",
    "PATCH /Groups/{id} add member": "as above, and adds a member that nobody made",
    "PATCH /Groups/{id} remove members": "as above",
}
"""What a suite finds fault with in any server that makes use of a choice of the RFC, and which."""


class SuiteResult(msgspec.Struct, frozen=True):
    """What a suite said: how much it tried and found right, and each fault with our explanation, "" without one. `told` says why it did not run."""

    name: str
    passed: int = 0
    faults: dict[str, str] = {}
    told: str = ""


async def run_suites(url: str, secret: str) -> list[SuiteResult]:
    """What scim2-tester and scim-sanity say of a server; each makes and deletes resources."""
    return [await _tester(url, secret), await _sanity(url, secret)]


async def _tester(url: str, secret: str) -> SuiteResult:
    name = "scim2-tester"
    if importlib.util.find_spec("scim2_tester") is None:
        return SuiteResult(name, told=f"not installed; {EXTRA}")
    printed = await _run([sys.executable, "-m", "rollhouse.conformance.tester", url], ROLLHOUSE_SCIM_SECRET=secret)
    try:
        results = json.loads(printed)
    except ValueError:
        return SuiteResult(name, told=f"it could not run: {printed[-200:].strip()}")
    faults = {one["title"]: "" for one in results if one["status"] not in (*_GOOD, "SKIPPED")}
    return SuiteResult(name, sum(one["status"] in _GOOD for one in results), faults)


async def _sanity(url: str, secret: str) -> SuiteResult:
    name = "scim-sanity"
    if importlib.util.find_spec("scim_sanity") is None:
        return SuiteResult(name, told=f"not installed; {EXTRA}")
    printed = await _run([sys.executable, "-m", "rollhouse.conformance.sanity", url], ROLLHOUSE_SCIM_SECRET=secret)
    try:
        results = json.loads(printed)["results"]
    except (ValueError, KeyError):
        return SuiteResult(name, told=f"it could not run: {printed[-200:].strip()}")
    failed = [one["name"] for one in results if one["status"].lower() == "fail"]
    return SuiteResult(name, sum(one["status"].lower() == "pass" for one in results), {one: _KNOWN.get(one, "") for one in failed})


async def _run(command: list[str], **variables: str) -> str:
    """What a program printed; it is ended after five minutes."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **variables}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"no end within {SECONDS} seconds"
    return printed.decode(errors="replace")
