"""Media types, versions in the path, and the /Me alias (RFC 7644 sections 3.8, 3.11 and 3.13)."""

import re

from rollhouse.conformance.checks.judging import expect_refused, expect_status, patched, path_of, read, relative
from rollhouse.conformance.probe import SCIM_JSON, USER_URN, Probe, Reply
from rollhouse.conformance.requirement import NotApplicable, expect, requirement

VERSION = re.compile(r"/v\d+$")


async def root_path(probe: Probe, segment: str) -> str:
    """The path of another version of the server, from its SCIM URL."""
    if not VERSION.search(probe.url):
        raise NotApplicable(f"{probe.url} has no version in its path")
    return f"/..{segment}/Users"


async def alias(probe: Probe) -> tuple[str, Reply]:
    """The permanent path of what /Me stands for, and the answer to GET /Me."""
    reply = await probe.get("/Me")
    if reply.status in {401, 403, 404, 405, 501}:
        raise NotApplicable(f"the server offers no /Me to this client: {reply.told}")
    expect_status(reply, "GET /Me", 200, 308)
    expect(reply.headers.get("location"), f"GET /Me gives no Location: {reply.told}")
    return relative(probe, reply.headers["location"]), reply


@requirement("7644-3.8-01", "RFC 7644 3.8", "MUST", "Bodies are UTF-8 by default, in and out, and hold any Unicode text.")
async def bodies_are_utf_8(probe: Probe) -> None:
    text = "Zo\u00eb \u674e \U0001f600"
    body = f'{{"schemas": ["{USER_URN}"], "userName": "{probe.name("user")}", "displayName": "{text}"}}'
    reply = await probe.send("POST", "/Users", raw=body.encode())
    probe.note_made("/Users", reply)
    expect_status(reply, "POST of a body in UTF-8", 201)
    for answer in (reply, await probe.get(path_of(reply.json))):
        answer.raw.decode()
        expect(answer.json.get("displayName") == text, f"the displayName {text} is shown as {answer.json.get('displayName')}")
        charset = answer.headers.get("content-type", "").partition("charset=")[2].casefold()
        expect(charset in {"", "utf-8", '"utf-8"'}, f"an answer has the charset {charset}")


@requirement("7644-3.8-02", "RFC 7644 3.8", "MUST", "application/scim+json is served when asked for and when nothing is asked for.")
async def scim_json_is_served(probe: Probe) -> None:
    for accepted in (SCIM_JSON, "*/*"):
        for path in ("/Users?count=1", "/Users/nope"):
            reply = await probe.send("GET", path, headers={"accept": accepted})
            kind = reply.headers.get("content-type", "")
            expect(kind.partition(";")[0].strip() == SCIM_JSON, f"GET {path} with Accept {accepted} has the Content-Type {kind}")
            expect(isinstance(reply.json, dict), f"GET {path} with Accept {accepted} gives no JSON: {reply.told}")


@requirement("7644-3.8-03", "RFC 7644 3.8", "SHOULD", "Accept: application/json is supported.")
async def plain_json_is_served(probe: Probe) -> None:
    reply = await probe.send("GET", "/Users?count=1", headers={"accept": "application/json"})
    expect(reply.status == 200 and isinstance(reply.json, dict), f"GET /Users with Accept application/json gives {reply.told}")


@requirement("7644-3.13-01", "RFC 7644 3.13", "MUST", "A version in the path is obeyed, or the request refused.")
async def unknown_versions_are_refused(probe: Probe) -> None:
    expect_status(await probe.get(await root_path(probe, VERSION.findall(probe.url)[0])), "GET of the version in the URL", 200)
    reply = await probe.get(await root_path(probe, "/v9"))
    expect_refused(reply, "GET of version 9", "invalidVers", status=(400, 404))


@requirement("7644-3.13-02", "RFC 7644 3.13", "SHOULD", "Without a version in the path the newest one is used.")
async def the_newest_version_is_the_default(probe: Probe) -> None:
    user = await probe.new_user()
    path = f"{await root_path(probe, '')}/{user['id']}"
    reply = await probe.get(path)
    expect(reply.status == 200 and USER_URN in reply.json.get("schemas", []), f"GET without a version in the path gives {reply.told}")


@requirement("7644-3.11-01", "RFC 7644 3.11", "SHOULD", "A server without /Me answers 501.")
async def a_missing_me_is_not_implemented(probe: Probe) -> None:
    reply = await probe.get("/Me")
    if reply.status in {200, 308}:
        raise NotApplicable("the server offers /Me")
    expect_refused(reply, "GET /Me", status=(501,))


@requirement("7644-3.11-02", "RFC 7644 3.11", "MUST", "A /Me that is offered leads to the permanent URI, by 308 or by the Location header.")
async def me_leads_to_the_permanent_uri(probe: Probe) -> None:
    path, reply = await alias(probe)
    expect(path != "/Me", "the Location of /Me is /Me itself")
    shown = await read(probe, path)
    if reply.status == 200:
        expect(reply.json.get("id") == shown["id"], f"/Me shows {reply.json.get('id')}, and its Location {shown['id']}")


@requirement("7644-3.11-03", "RFC 7644 3.11", "MUST", "/Me stands for the resource in every operation.")
async def me_stands_for_the_resource(probe: Probe) -> None:
    path, reply = await alias(probe)
    if reply.status == 308 or not await probe.supports("patch"):
        raise NotApplicable("/Me redirects, or there is no PATCH to try")
    before = (await read(probe, path)).get("nickName")
    name = probe.name("nick")
    try:
        expect_status(await probe.patch("/Me", {"op": "replace", "path": "nickName", "value": name}), "PATCH /Me", 200, 204)
        shown = (await read(probe, path)).get("nickName")
        expect(shown == name, f"the nickName {name} was given to /Me, and {path} has {shown}")
    finally:
        await patched(probe, path, {"op": "replace", "path": "nickName", "value": before} if before else {"op": "remove", "path": "nickName"})
