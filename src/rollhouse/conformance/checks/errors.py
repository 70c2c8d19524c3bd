"""Errors and authentication (RFC 7644 sections 2 and 3.12)."""

import re

from rollhouse.conformance.checks.cursors import forged, started
from rollhouse.conformance.checks.finding import user_with
from rollhouse.conformance.checks.judging import expect_refused, expect_status, path_of, read, scim_type
from rollhouse.conformance.probe import ERROR_URN, USER_URN, Probe, Reply
from rollhouse.conformance.requirement import expect, requirement

KINDS = {
    "invalidFilter",
    "tooMany",
    "uniqueness",
    "mutability",
    "invalidSyntax",
    "invalidPath",
    "noTarget",
    "invalidValue",
    "invalidVers",
    "sensitive",
    "invalidCursor",
    "expiredCursor",
    "invalidCount",
}
TRACES = re.compile(r"Traceback|\bat [\w.$]+\(|\bSELECT\b|\.py\b|\.java\b|File \"")


def expect_error_body(reply: Reply, status: int, tried: str) -> None:
    """The answer has this status, and a body that says so in the form of the standard."""
    expect_status(reply, tried, status)
    body = reply.json if isinstance(reply.json, dict) else {}
    expect(ERROR_URN in (body.get("schemas") or []) and body.get("status") == str(status), f"{tried} gives {reply.told}")
    expect(not scim_type(body) or scim_type(body) in KINDS, f"{tried} gives the scimType {scim_type(body)}")


def wrong_secret(probe: Probe) -> dict[str, str]:
    """Headers with a secret that nobody has."""
    return {"authorization": f"Bearer {probe.name('wrong')}"}


@requirement("7644-2-01", "RFC 7644 2", "MUST", "A refused login names the accepted authentication schemes.")
async def refused_logins_name_the_schemes(probe: Probe) -> None:
    reply = await probe.send("GET", "/Users", with_secret=False)
    expect_status(reply, "GET /Users without a secret", 401)
    named = reply.headers.get("www-authenticate", "")
    expect(re.match(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", named), f"GET /Users without a secret gives the WWW-Authenticate {named!r}")


@requirement("7644-2-02", "RFC 7644 2", "MUST", "Only an authorised client reads or writes resources.")
async def only_authorised_clients_are_served(probe: Probe) -> None:
    user = await user_with(probe, displayName="Ann")
    path, headers = path_of(user), wrong_secret(probe)
    replies = {
        "GET": await probe.send("GET", path, headers=headers),
        "PUT": await probe.send("PUT", path, {**user, "displayName": "Bob"}, headers=headers),
        "PATCH": await probe.patch(path, {"op": "replace", "path": "displayName", "value": "Bob"}, headers=headers),
        "DELETE": await probe.send("DELETE", path, headers=headers),
    }
    for method, reply in replies.items():
        expect_status(reply, f"{method} with a wrong secret", 401, 403)
        expect_error_body(reply, reply.status, f"{method} with a wrong secret")
    expect(await read(probe, path) == user, "a request with a wrong secret changed a user")


@requirement("7644-3.12-01", "RFC 7644 3.12", "MUST", "An error is a JSON body with the Error URI and the HTTP status as a string.")
async def errors_have_their_body(probe: Probe) -> None:
    user = await probe.new_user()
    duplicate = await probe.post("/Users", {"schemas": [USER_URN], "userName": user["userName"]})
    expect_error_body(await probe.post("/Users", {"schemas": [USER_URN]}), 400, "POST /Users without userName")
    expect_error_body(await probe.send("GET", "/Users", with_secret=False), 401, "GET /Users without a secret")
    expect_error_body(await probe.get("/Users/nope"), 404, "GET /Users/nope")
    expect_error_body(duplicate, 400 if duplicate.status == 400 else 409, "POST /Users with a taken userName")


@requirement("7644-3.12-02", "RFC 7644 3.12", "SHOULD", "An unparsable body gives 400 and invalidSyntax.")
async def unparsable_bodies_are_refused(probe: Probe) -> None:
    for raw in (b'{"schemas": [', b"[]", b'"text"'):
        reply = await probe.send("POST", "/Users", raw=raw)
        expect_refused(reply, f"POST /Users with the body {raw.decode()}", "invalidSyntax", named=True)


@requirement("7644-3.12-03", "RFC 7644 3.12", "SHOULD", "An unknown resource or endpoint gives 404.")
async def unknown_resources_are_not_found(probe: Probe) -> None:
    path = f"/Users/{probe.name('nobody')}"
    expect_refused(await probe.get(path), f"GET {path}", status=(404,))
    if await probe.supports("patch"):
        operation = {"op": "replace", "path": "displayName", "value": "Ann"}
        expect_refused(await probe.patch(path, operation), f"PATCH {path}", status=(404,))
    expect_refused(await probe.send("DELETE", path), f"DELETE {path}", status=(404,))
    expect_refused(await probe.get("/NoSuchThings"), "GET /NoSuchThings", status=(404,))


@requirement("9865-5.2-02", "RFC 9865 5.2", "MUST", "Paging errors give away nothing sensitive.")
async def paging_errors_give_nothing_away(probe: Probe) -> None:
    family, cursor = await started(probe)
    told = set()
    for wrong in ("thisIsNoCursor", forged(cursor)):
        reply = await probe.get("/Users", filter=family.filter, cursor=wrong, count="2")
        text = reply.raw.decode()
        expect(400 <= reply.status < 500, f"the cursor {wrong} gives {reply.told}")
        expect(not TRACES.search(text) and family.marker not in text, f"the error for a wrong cursor gives away {reply.told}")
        told.add((reply.status, scim_type(reply.json), str(reply.json.get("detail")).replace(wrong, "")))
    expect(len(told) == 1, f"garbage and a forged cursor are told apart: {told}")
