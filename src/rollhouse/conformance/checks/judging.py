"""What the checks ask of an answer, said once: its status, its refusal, its list, and the resource as it stands afterwards."""

from collections.abc import Collection
from urllib.parse import urljoin

from rollhouse.conformance.probe import SEARCH_URN, USER_URN, Json, Probe, Reply
from rollhouse.conformance.requirement import Broken, expect


def expect_status(reply: Reply, tried: str, *statuses: int) -> None:
    """The answer has one of these statuses."""
    expect(reply.status in statuses, f"{tried} gives {reply.told}")


def expect_refused(reply: Reply, tried: str, *kinds: str, status: Collection[int] = (400,), named: bool = False) -> None:
    """The answer is an error of this status; its scimType, which has to be there if `named`, is one of the kinds if there are any."""
    expect_status(reply, tried, *status)
    kind = scim_type(reply.json)
    expect(not kinds or kind in kinds or not (kind or named), f"{tried} gives {kind or 'no'} scimType instead of {' or '.join(kinds)}: {reply.told}")


def expect_duplicate(reply: Reply, tried: str) -> None:
    """The answer says by `uniqueness` that a value is taken already; the status is 409, or 400 as the schema standard has it."""
    expect_refused(reply, tried, "uniqueness", status=(409, 400), named=True)


def scim_type(error: Json) -> str:
    """The scimType of an error body, "" without one."""
    kind = error.get("scimType") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) else ""


def path_of(resource: Json, endpoint: str = "/Users") -> str:
    """Where a resource is, relative to the SCIM URL."""
    return f"{endpoint}/{resource['id']}"


def relative(probe: Probe, uri: str) -> str:
    """A URI of the server, perhaps a relative one, as a path below its SCIM URL."""
    absolute = urljoin(f"{probe.url}/", uri)
    expect(absolute.startswith(f"{probe.url}/"), f"{uri} is not below {probe.url}")
    return absolute.removeprefix(probe.url)


async def read(probe: Probe, path: str, **query: str) -> Json:
    """The resource at a path."""
    reply = await probe.get(path, **query)
    expect(reply.status == 200 and isinstance(reply.json, dict), f"GET {path} gives {reply.told}")
    return reply.json


async def expect_gone(probe: Probe, path: str) -> None:
    """Nothing is at a path."""
    reply = await probe.get(path)
    expect_status(reply, f"GET {path}", 404)


def resources_of(reply: Reply, tried: str) -> list[Json]:
    """The resources of a list."""
    expect(reply.status == 200 and isinstance(reply.json, dict), f"{tried} gives {reply.told}")
    return reply.json.get("Resources") or []


async def listed(probe: Probe, endpoint: str, **query: str) -> list[Json]:
    """The resources that a query finds."""
    return resources_of(await probe.get(endpoint, **query), f"GET {endpoint} with {query}")


async def list_of(probe: Probe, endpoint: str, **query: str) -> Json:
    """The whole answer to a query."""
    reply = await probe.get(endpoint, **query)
    resources_of(reply, f"GET {endpoint} with {query}")
    return reply.json


async def search(probe: Probe, endpoint: str, **parameters: Json) -> Reply:
    """The answer to a query by POST."""
    return await probe.send("POST", f"{endpoint}/.search", {"schemas": [SEARCH_URN], **parameters})


async def is_taken(probe: Probe, name: str) -> bool:
    """Whether there is a user of this name."""
    return bool(await listed(probe, "/Users", filter=f'userName eq "{name}"'))


async def patched(probe: Probe, path: str, *operations: Json) -> Json:
    """The resource after a PATCH that the server took."""
    reply = await probe.patch(path, *operations)
    expect_status(reply, f"PATCH {operations}", 200, 204)
    return await read(probe, path)


async def changed(probe: Probe, path: str, **attributes: Json) -> Json:
    """The resource after these attributes got these values, by PATCH, or by PUT where there is no PATCH."""
    if await probe.supports("patch"):
        return await patched(probe, path, {"op": "replace", "value": attributes})
    reply = await probe.send("PUT", path, await read(probe, path) | attributes)
    expect_status(reply, f"PUT {path}", 200)
    return await read(probe, path)


async def refuses_users(probe: Probe, *kinds: str, **bodies: Json) -> None:
    """No user is made from any of these sets of attributes; each is called by what is wrong with it."""
    for wrong, attributes in bodies.items():
        name = probe.name("user")
        reply = await probe.post("/Users", {"schemas": [USER_URN], "userName": name, **attributes})
        expect_refused(reply, f"POST /Users with {wrong.replace('_', ' ')}", *kinds)


def same(one: Json, other: Json) -> bool:
    """Whether two texts are the same but for letter case."""
    return isinstance(one, str) and isinstance(other, str) and one.casefold() == other.casefold()


def values_of(resource: Json, attribute: str, part: str = "value") -> list[Json]:
    """A sub-attribute of each element of a multi-valued attribute, [] where it has no value."""
    elements = resource.get(attribute) or []
    if not isinstance(elements, list):
        raise Broken(f"{attribute} is no array: {elements}")
    return [one.get(part) for one in elements]
