"""Versions of resources: time stamps, ETags and conditional requests (RFC 7644 section 3.14)."""

import asyncio
import re
from datetime import datetime

from rollhouse.conformance.checks.finding import need, user_with
from rollhouse.conformance.checks.judging import changed, expect_refused, expect_status, listed, path_of, read
from rollhouse.conformance.probe import USER_URN, Json, Probe
from rollhouse.conformance.requirement import expect, requirement

ETAG = re.compile(r'(W/)?"[^"]*"')
TICK = 1.1
"""Seconds after which every clock of a server shows another time."""


async def outdated(probe: Probe) -> tuple[str, str, str]:
    """The path of a new user, its first ETag, which is outdated, and its present one."""
    await need(probe, "etag")
    user = await probe.new_user()
    path = path_of(user)
    old = (await probe.get(path)).headers.get("etag", "")
    await changed(probe, path, displayName="Ann")
    new = (await probe.get(path)).headers.get("etag", "")
    expect(old and new and old != new, f"the ETag before a change is {old}, and {new} after it")
    return path, old, new


@requirement("7643-3.1-07", "RFC 7643 3.1", "MUST", "lastModified equals created until a change, then moves while created stays.")
async def last_modified_follows_changes(probe: Probe) -> None:
    user = await probe.new_user()
    first = user["meta"]
    expect(first["created"] == first["lastModified"], f"a new user has the meta {first}")
    await asyncio.sleep(TICK)
    again = (await changed(probe, path_of(user), displayName="Ann"))["meta"]
    expect(datetime.fromisoformat(again["lastModified"]) > datetime.fromisoformat(first["lastModified"]), f"a change left lastModified at {again}")
    expect(again["created"] == first["created"], f"a change moved created from {first['created']} to {again['created']}")


@requirement("7643-3.1-09", "RFC 7643 3.1", "MUST", "meta.version equals the ETag header; a tag that is no strong validator starts with W/.")
async def version_equals_etag(probe: Probe) -> None:
    await need(probe, "etag")
    path = path_of(await user_with(probe, displayName="Ann"))
    whole, part = await probe.get(path), await probe.get(path, attributes="userName")
    tag, version = whole.headers.get("etag"), whole.json["meta"].get("version")
    expect(version is None or version == tag, f"the ETag is {tag}, and meta.version {version}")
    weak = str(tag).startswith("W/") or part.headers.get("etag") != tag or part.raw == whole.raw
    expect(weak, f"two unlike representations have the strong ETag {tag}")


@requirement("7644-3.12-07", "RFC 7644 3.12", "SHOULD", "A DELETE with an outdated tag gives 412.")
async def a_delete_of_an_old_version_fails(probe: Probe) -> None:
    path, old, new = await outdated(probe)
    reply = await probe.send("DELETE", path, headers={"if-match": old})
    expect_refused(reply, "DELETE with an outdated If-Match", status=(412, 409))
    await read(probe, path)
    expect_status(await probe.send("DELETE", path, headers={"if-match": new}), "DELETE with the present If-Match", 204)


@requirement("7644-3.14-01", "RFC 7644 3.14", "MUST", "With versioning, ETag is a header that changes with the resource.")
async def etags_change_with_the_resource(probe: Probe) -> None:
    await need(probe, "etag")
    body = {"schemas": [USER_URN], "userName": probe.name("user")}
    created = await probe.post("/Users", body)
    path = path_of(created.json)
    first, second = await probe.get(path), await probe.get(path)
    replaced = await probe.send("PUT", path, {**body, "displayName": "Ann"})
    for reply in (created, first, second, replaced):
        expect(ETAG.fullmatch(reply.headers.get("etag", "")), f"an answer has the ETag {reply.headers.get('etag')}: {reply.told}")
    expect(first.headers["etag"] == second.headers["etag"], f"two GETs give {first.headers['etag']} and {second.headers['etag']}")
    expect(replaced.headers["etag"] != first.headers["etag"], f"the ETag {first.headers['etag']} stays after a change")


@requirement("7644-3.14-02", "RFC 7644 3.14", "SHOULD", "The version also stands in meta.version.")
async def versions_stand_in_meta(probe: Probe) -> None:
    await need(probe, "etag")
    user = await probe.new_user()
    shown: list[Json] = [user, await read(probe, path_of(user)), *await listed(probe, "/Users", count="5")]
    for one in shown:
        expect((one.get("meta") or {}).get("version"), f"a user has the meta {one.get('meta')}")


@requirement("7644-3.14-03", "RFC 7644 3.14", "MUST", "A conditional read of an unchanged resource gives 304 with no body.")
async def an_unchanged_resource_is_not_sent_again(probe: Probe) -> None:
    path, old, new = await outdated(probe)
    reply = await probe.send("GET", path, headers={"if-none-match": new})
    expect(reply.status == 304 and not reply.raw, f"GET with the present ETag in If-None-Match gives {reply.told}")
    expect_status(await probe.send("GET", path, headers={"if-none-match": old}), "GET with an outdated If-None-Match", 200)


@requirement("7644-3.14-04", "RFC 7644 3.14", "MUST", "If-Match lets PUT and PATCH through only with the current tag.")
async def only_the_current_version_is_changed(probe: Probe) -> None:
    path, old, new = await outdated(probe)
    body = {**await read(probe, path), "displayName": "Bob"}
    expect_refused(await probe.send("PUT", path, body, headers={"if-match": old}), "PUT with an outdated If-Match", status=(412, 409))
    operation = {"op": "replace", "path": "displayName", "value": "Bob"}
    if await probe.supports("patch"):
        expect_refused(await probe.patch(path, operation, headers={"if-match": old}), "PATCH with an outdated If-Match", status=(412, 409))
    expect((await read(probe, path))["displayName"] == "Ann", "a refused request with an outdated If-Match changed the user")
    reply = await probe.send("PUT", path, body, headers={"if-match": new})
    expect_status(reply, "PUT with the present If-Match", 200)
    if await probe.supports("patch"):
        reply = await probe.patch(path, operation, headers={"if-match": reply.headers.get("etag", "")})
        expect_status(reply, "PATCH with the present If-Match", 200, 204)
