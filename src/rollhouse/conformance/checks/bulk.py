"""Bulk jobs (RFC 7644 section 3.7)."""

from rollhouse.conformance.checks.finding import has_enterprise, need, need_type
from rollhouse.conformance.checks.judging import changed, expect_gone, expect_refused, expect_status, is_taken, path_of, read, relative, values_of
from rollhouse.conformance.probe import BULK_URN, ENTERPRISE_URN, ERROR_URN, GROUP_URN, PATCH_URN, USER_URN, Json, Probe, Reply, Unreachable
from rollhouse.conformance.requirement import Broken, NotApplicable, expect, requirement

RESPONSE_URN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
LARGEST = 20_000_000
"""The longest body, in bytes, that a check sends."""


async def run(probe: Probe, *operations: Json, **members: Json) -> Reply:
    """The answer to a bulk job; what it made is deleted at the end."""
    await need(probe, "bulk")
    reply = await probe.send("POST", "/Bulk", {"schemas": [BULK_URN], **members, "Operations": list(operations)})
    for one in (reply.json or {}).get("Operations") or [] if isinstance(reply.json, dict) else []:
        if code(one) == "201" and isinstance(one.get("location"), str):
            endpoint, _, id_ = relative(probe, one["location"]).rpartition("/")
            probe.note_made(endpoint, Reply(201, {}, b"", {"id": id_}))
    return reply


async def done(probe: Probe, *operations: Json, **members: Json) -> list[Json]:
    """The results of a bulk job that the server took."""
    reply = await run(probe, *operations, **members)
    expect(reply.status == 200 and isinstance(reply.json, dict), f"POST /Bulk gives {reply.told}")
    return reply.json.get("Operations") or []


def code(result: Json) -> str:
    """The status of a result, which may be an object with a code."""
    status = result.get("status")
    return str(status.get("code") if isinstance(status, dict) else status)


def the(results: list[Json], **wanted: str) -> Json:
    """The one result with these members; their order is free."""
    found = [one for one in results if all(one.get(name) == value for name, value in wanted.items())]
    if len(found) != 1:
        raise Broken(f"there are {len(found)} results with {wanted}: {results}")
    return found[0]


def new_user(probe: Probe, bulk_id: str, **attributes: Json) -> Json:
    """An operation that makes a user."""
    data = {"schemas": [USER_URN], "userName": probe.name("user"), **attributes}
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data}


def new_group(probe: Probe, bulk_id: str, *members: str) -> Json:
    """An operation that makes a group of these members."""
    data = {"schemas": [GROUP_URN], "displayName": probe.name("group"), "members": [{"value": one} for one in members]}
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


def put(user: Json, **attributes: Json) -> Json:
    """An operation that replaces a user."""
    return {"method": "PUT", "path": path_of(user), "data": {"schemas": [USER_URN], "userName": user["userName"], **attributes}}


def patch(user: Json, **attributes: Json) -> Json:
    """An operation that changes a user."""
    return {"method": "PATCH", "path": path_of(user), "data": {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": attributes}]}}


def delete(user: Json) -> Json:
    """An operation that deletes a user."""
    return {"method": "DELETE", "path": path_of(user)}


async def made(probe: Probe, results: list[Json], bulk_id: str) -> Json:
    """The resource that an operation made."""
    result = the(results, bulkId=bulk_id)
    expect(code(result) == "201" and result.get("location"), f"the operation {bulk_id} gives {result}")
    return await read(probe, relative(probe, result["location"]))


@requirement("7644-3.7-01", "RFC 7644 3.7", "MUST", "A processed bulk job answers 200 with the BulkResponse schema, an unusable one an HTTP error.")
async def jobs_are_answered_or_refused(probe: Probe) -> None:
    operation = new_user(probe, "u")
    reply = await run(probe, operation)
    expect(reply.status == 200 and RESPONSE_URN in reply.json.get("schemas", []), f"POST /Bulk gives {reply.told}")
    for wrong in (b'{"schemas": [', b"[]"):
        expect_refused(await probe.send("POST", "/Bulk", raw=wrong), f"POST /Bulk with the body {wrong.decode()}", "invalidSyntax")
    expect_refused(await run(probe, new_user(probe, "u"), schemas=[USER_URN]), "POST /Bulk without the BulkRequest URN")
    expect_refused(await probe.send("POST", "/Bulk", {"schemas": [BULK_URN]}), "POST /Bulk without Operations")


@requirement("7644-3.7-02", "RFC 7644 3.7", "MUST", "A bulk job takes POST, PUT, PATCH and DELETE.")
async def jobs_take_every_method(probe: Probe) -> None:
    users = [await probe.new_user() for _ in range(3)]
    changes = [patch(users[1], displayName="Patched")] if await probe.supports("patch") else []
    results = await done(probe, new_user(probe, "u"), put(users[0], displayName="Put"), *changes, delete(users[2]))
    await made(probe, results, "u")
    for method, allowed in (("PUT", ("200",)), ("PATCH", ("200", "204")), ("DELETE", ("204",))):
        if method != "PATCH" or changes:
            expect(code(the(results, method=method)) in allowed, f"{method} in a bulk job gives {the(results, method=method)}")
    shown = [(await read(probe, path_of(user))).get("displayName") for user in users[:2]]
    expect(shown == ["Put", "Patched" if changes else None], f"PUT and PATCH in a bulk job left the displayNames {shown}")
    await expect_gone(probe, path_of(users[2]))


@requirement("7644-3.7-03", "RFC 7644 3.7", "MUST", "The client's bulkId comes back with the new resource.")
async def bulk_ids_come_back(probe: Probe) -> None:
    first, second = new_user(probe, "qwerty"), new_user(probe, "ytrewq")
    results = await done(probe, first, second)
    for bulk_id, operation in (("qwerty", first), ("ytrewq", second)):
        user = await made(probe, results, bulk_id)
        expect(user["userName"] == operation["data"]["userName"], f"the bulkId {bulk_id} came back with the user {user['userName']}")


@requirement("7644-3.7-04", "RFC 7644 3.7", "MUST", "An operation without bulkId or data where needed, or with the wrong kind of path, fails.")
async def incomplete_operations_fail(probe: Probe) -> None:
    user = await probe.new_user()
    whole = new_user(probe, "u")
    wrong = {
        "POST without bulkId": {name: value for name, value in whole.items() if name != "bulkId"},
        "POST without data": {name: value for name, value in whole.items() if name != "data"},
        "POST to a user": {**whole, "path": path_of(user)},
        "PUT to /Users": {**put(user, displayName="Put"), "path": "/Users"},
        "PUT without data": {"method": "PUT", "path": path_of(user)},
    }
    for tried, operation in wrong.items():
        reply = await run(probe, operation)
        results = [code(one) for one in reply.json.get("Operations") or []] if reply.status == 200 else [str(reply.status)]
        expect(all(one.startswith("4") for one in results) and len(results) == 1, f"{tried} in a bulk job gives {reply.told}")
    expect(await read(probe, path_of(user)) == user, "an operation that failed changed a user")
    expect(not await probe.supports("filter") or not await is_taken(probe, whole["data"]["userName"]), "an operation that failed made a user")


@requirement("7644-3.7-05", "RFC 7644 3.7", "MUST", "A stale version makes a bulk operation fail.")
async def stale_versions_fail(probe: Probe) -> None:
    await need(probe, "bulk", "etag")
    user = await probe.new_user()
    old = (await probe.get(path_of(user))).headers.get("etag")
    before = await changed(probe, path_of(user), displayName="Ann")
    for operation in (put(user, displayName="Put"), patch(user, displayName="Patched"), delete(user)):
        if operation["method"] != "PATCH" or await probe.supports("patch"):
            result = (await done(probe, {**operation, "version": old}))[0]
            expect(code(result) in {"412", "409"}, f"{operation['method']} of an old version in a bulk job gives {result}")
    expect(await read(probe, path_of(user)) == before, "an operation on an old version changed the user")


@requirement("7644-3.7-06", "RFC 7644 3.7", "MUST", "Each failed bulk result holds the error body.")
async def failed_results_hold_the_error(probe: Probe) -> None:
    user = await probe.new_user()
    result = (await done(probe, new_user(probe, "u", userName=user["userName"])))[0]
    error = result.get("response") or {}
    expect(code(result) in {"409", "400"} and ERROR_URN in error.get("schemas", []), f"a duplicate in a bulk job gives {result}")
    expect(error.get("status") == code(result) and error.get("scimType") == "uniqueness", f"a duplicate in a bulk job gives {result}")


@requirement("7644-3.7-07", "RFC 7644 3.7", "MUST", "Errors do not stop a bulk job until failOnErrors is reached.")
async def errors_do_not_stop_a_job(probe: Probe) -> None:
    user = await probe.new_user()
    for limit in ({}, {"failOnErrors": 1}):
        last = new_user(probe, "u3")
        reply = await run(probe, new_user(probe, "u1"), new_user(probe, "u2", userName=user["userName"]), last, **limit)
        expect_status(reply, f"POST /Bulk with {limit}", 200)
        expect("failOnErrors" not in reply.json, "a bulk answer has failOnErrors")
        codes = {one.get("bulkId"): code(one) for one in reply.json.get("Operations") or []}
        if limit:
            expect(codes.get("u3") != "201" and codes.get("u1") == "201", f"with failOnErrors 1, of good, bad and good, come {codes}")
            expect(not await probe.supports("filter") or not await is_taken(probe, last["data"]["userName"]), "failOnErrors did not stop a job")
        else:
            expect(codes.get("u1") == codes.get("u3") == "201" and codes.get("u2") != "201", f"of good, bad and good come {codes}")


@requirement("7644-3.7-08", "RFC 7644 3.7", "MUST", "Operation order never changes the outcome the client intended.")
async def order_does_not_change_the_outcome(probe: Probe) -> None:
    await need_type(probe, "Group")
    results = await done(probe, new_group(probe, "g", "bulkId:u"), new_user(probe, "u"))
    user, group = await made(probe, results, "u"), await made(probe, results, "g")
    expect(values_of(group, "members") == [user["id"]], f"a group made before its member {user['id']} has the members {group.get('members')}")


@requirement("7644-3.7.1-01", "RFC 7644 3.7.1", "MUST", "Circular references in one job are resolved, or answered with 409.")
async def circular_references_are_resolved(probe: Probe) -> None:
    await need_type(probe, "Group")
    reply = await run(probe, new_group(probe, "a", "bulkId:b"), new_group(probe, "b", "bulkId:a"))
    expect_status(reply, "POST /Bulk with two groups that are each other's members", 200, 409)
    results = reply.json.get("Operations") or [] if reply.status == 200 else []
    if results and "409" not in [code(one) for one in results]:
        a, b = await made(probe, results, "a"), await made(probe, results, "b")
        found = values_of(a, "members"), values_of(b, "members")
        expect(found == ([b["id"]], [a["id"]]), f"the groups {a['id']} and {b['id']} have the members {found}")


@requirement("7644-3.7.2-01", "RFC 7644 3.7.2", "MUST", '"bulkId:x" becomes the permanent id, in extensions too.')
async def bulk_ids_become_ids(probe: Probe) -> None:
    extended = {"schemas": [USER_URN, ENTERPRISE_URN], ENTERPRISE_URN: {"manager": {"value": "bulkId:q"}}}
    operations = [new_user(probe, "q"), new_group(probe, "g", "bulkId:q"), new_user(probe, "e", **extended)]
    with_manager = await has_enterprise(probe)
    results = await done(probe, *operations[: 3 if with_manager else 2])
    user, group = await made(probe, results, "q"), await made(probe, results, "g")
    expect(values_of(group, "members") == [user["id"]], f"the member bulkId:q, {user['id']}, is shown as {group.get('members')}")
    if with_manager:
        manager = ((await made(probe, results, "e")).get(ENTERPRISE_URN) or {}).get("manager") or {}
        expect(manager.get("value") == user["id"], f"the manager bulkId:q, {user['id']}, is shown as {manager}")


@requirement("7644-3.7.3-01", "RFC 7644 3.7.3", "MUST", "A bulk answer reports every processed operation with the status it would have had alone.")
async def every_operation_is_reported(probe: Probe) -> None:
    users = [await probe.new_user() for _ in range(2)]
    unknown = {"method": "DELETE", "path": f"/Users/{probe.name('nobody')}"}
    results = await done(probe, new_user(probe, "u"), put(users[0], displayName="Put"), delete(users[1]), unknown)
    found = sorted((str(one.get("method")), code(one)) for one in results)
    wanted = [("DELETE", "204"), ("DELETE", "404"), ("POST", "201"), ("PUT", "200")]
    expect(found == wanted, f"the results are {found} instead of {wanted}")
    expect(all(isinstance(one["status"], str | dict) for one in results), f"a status is no string: {results}")


@requirement("7644-3.7.3-02", "RFC 7644 3.7.3", "MUST", "Every result has a location, failed POSTs aside.")
async def results_have_locations(probe: Probe) -> None:
    users = [await probe.new_user() for _ in range(2)]
    failing = {**put(users[0]), "data": {"schemas": [USER_URN]}}
    results = await done(probe, new_user(probe, "u"), failing, delete(users[1]), new_user(probe, "f", userName=users[0]["userName"]))
    await made(probe, results, "u")
    for method, user in (("PUT", users[0]), ("DELETE", users[1])):
        result = the(results, method=method)
        expect(result.get("location") == user["meta"]["location"], f"the result of {method} has the location {result.get('location')}")


@requirement("7644-3.7.4-01", "RFC 7644 3.7.4", "MUST", "Too many operations give 413, and the body names the limit.")
async def too_many_operations_are_refused(probe: Probe) -> None:
    limit = await _limit(probe, "maxOperations")
    first = new_user(probe, "u")
    reply = await run(probe, first, *[{"method": "DELETE", "path": "/Users/nobody"}] * limit)
    await _expect_too_large(probe, reply, "maxOperations", limit, first)


@requirement("7644-3.7.4-02", "RFC 7644 3.7.4", "MUST", "Too large a payload gives 413, and the body names the limit.")
async def too_large_payloads_are_refused(probe: Probe) -> None:
    limit = await _limit(probe, "maxPayloadSize")
    first = new_user(probe, "u", nickName="n" * limit)
    try:
        reply = await run(probe, first)
    except Unreachable as error:
        raise Broken(f"a body of more than maxPayloadSize {limit} gets no answer: {error}") from None
    await _expect_too_large(probe, reply, "maxPayloadSize", limit, first)


async def _limit(probe: Probe, name: str) -> int:
    await need(probe, "bulk")
    limit: Json = (await probe.known("/ServiceProviderConfig"))["bulk"].get(name)
    expect(isinstance(limit, int) and limit > 0, f"bulk.{name} is published as {limit!r}")
    if limit * (60 if name == "maxOperations" else 1) > LARGEST:
        raise NotApplicable(f"trying more than {name} {limit} would take too long a body")
    return int(limit)


async def _expect_too_large(probe: Probe, reply: Reply, name: str, limit: int, first: Json) -> None:
    expect_refused(reply, f"POST /Bulk above {name}", status=(413,))
    expect(name in reply.raw.decode() or str(limit) in reply.raw.decode(), f"POST /Bulk above {name} does not name the limit: {reply.told}")
    expect(not await probe.supports("filter") or not await is_taken(probe, first["data"]["userName"]), f"a job above {name} was carried out in part")
