"""One dialogue for two servers: what is sent, and what of the answers must agree."""

from typing import Any

from tests.servers.service import ScimClient

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
BULK_URN = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

PEOPLE: list[dict[str, Any]] = [
    {
        "userName": "ann",
        "displayName": "Ann Lee",
        "title": "Chief",
        "active": True,
        "name": {"givenName": "Ann", "familyName": "Lee"},
        "emails": [{"value": "ann@x.example", "type": "work", "primary": True}, {"value": "ann@home.example", "type": "home"}],
        ENTERPRISE_URN: {"employeeNumber": "1", "department": "North"},
    },
    {"userName": "Bob", "displayName": "Bob Ray", "active": False, "name": {"familyName": "Ray"}, "emails": [{"value": "bob@x.example", "type": "work"}]},
    {"userName": "cy", "title": "chief of staff", "active": True, ENTERPRISE_URN: {"department": "South"}},
    {"userName": "dee", "displayName": "Zed", "title": "Aide", "active": True, "externalId": "E-1", "phoneNumbers": [{"value": "123", "type": "work"}]},
]
FILTERS = [
    'userName eq "ann"',
    'userName eq "BOB"',
    'userName ne "ann"',
    'userName sw "D"',
    'userName co "o"',
    'userName ew "y"',
    "title pr",
    "not (title pr)",
    'title eq "chief"',
    'title co "chief"',
    'title gt "b"',
    'title le "Chief"',
    "active eq true",
    "active eq false",
    "active ne true",
    'externalId eq "E-1"',
    'externalId eq "e-1"',
    'name.familyName eq "lee"',
    'emails.value ew "@x.example"',
    'emails.type eq "home"',
    'emails eq "bob@x.example"',
    'emails[type eq "work" and value co "bob"]',
    'emails[type eq "home" and value co "@x"]',
    'emails[not (type eq "work")]',
    "emails pr",
    'phoneNumbers[type eq "work"]',
    f'{ENTERPRISE_URN}:department eq "north"',
    f"{ENTERPRISE_URN}:employeeNumber pr",
    f'{USER_URN}:userName eq "cy"',
    'userName eq "ann" or userName eq "cy"',
    'title pr and active eq true and not (userName eq "cy")',
    "(title pr or displayName pr) and active eq false",
    'meta.created gt "2020-01-01T00:00:00Z"',
    'meta.lastModified lt "2020-01-01T00:00:00Z"',
    'userName eq "nobody"',
    "userName",
    'userName xx "a"',
    'userName eq "a',
    "active gt true",
    'nonsense eq "x"',
    'userName eq "ann" and',
    "(userName pr",
]
SORTS = [("userName", "ascending"), ("userName", "descending"), ("title", "ascending"), ("title", "descending"), ("displayName", "ascending")]
PATCHES: list[tuple[str, list[dict[str, Any]]]] = [
    ("replace a value", [{"op": "replace", "path": "title", "value": "New"}]),
    ("add without a path", [{"op": "add", "value": {"nickName": "Annie"}}]),
    ("add an email", [{"op": "add", "path": "emails", "value": [{"value": "third@x.example", "type": "other"}]}]),
    ("add an email again", [{"op": "add", "path": "emails", "value": [{"value": "third@x.example", "type": "other"}]}]),
    ("a second primary", [{"op": "add", "path": "emails", "value": [{"value": "fourth@x.example", "primary": True}]}]),
    ("replace behind a filter", [{"op": "replace", "path": 'emails[type eq "work"].value', "value": "work@x.example"}]),
    ("replace what no filter finds", [{"op": "replace", "path": 'emails[type eq "never"].value', "value": "x@x.example"}]),
    ("remove behind a filter", [{"op": "remove", "path": 'emails[type eq "home"]'}]),
    ("remove a value", [{"op": "remove", "path": "nickName"}]),
    ("remove what is not there", [{"op": "remove", "path": "nickName"}]),
    ("remove without a path", [{"op": "remove"}]),
    ("remove what is required", [{"op": "remove", "path": "userName"}]),
    ("replace in an extension", [{"op": "replace", "path": f"{ENTERPRISE_URN}:department", "value": "West"}]),
    ("replace a part", [{"op": "replace", "path": "name.givenName", "value": "Anna"}]),
    ("replace what is read-only", [{"op": "replace", "path": "id", "value": "x"}]),
    ("an unknown attribute", [{"op": "add", "path": "nonsense", "value": "x"}]),
    ("an unknown operation", [{"op": "move", "path": "title", "value": "x"}]),
    ("a malformed path", [{"op": "add", "path": "emails[type eq", "value": "x"}]),
    ("all or nothing", [{"op": "replace", "path": "title", "value": "Half"}, {"op": "replace", "path": "active", "value": {"x": 1}}]),
    ("two in order", [{"op": "replace", "path": "title", "value": "First"}, {"op": "replace", "path": "title", "value": "Second"}]),
]


def content(resource: Any, names: dict[str, str]) -> Any:
    """A resource without what each server makes itself; ids by the names of those who have them."""
    if isinstance(resource, list):
        return sorted((content(one, names) for one in resource), key=repr)
    if isinstance(resource, dict):
        left_out = ("id", "meta", "$ref", "location", "version", "schemas", *(("type",) if resource.get("value") in names else ()))
        return {name: content(value, names) for name, value in sorted(resource.items()) if name not in left_out}
    return names.get(resource, resource) if isinstance(resource, str) else resource


class Dialogue:
    """One server's part: what it answered to each step, in a form in which two servers can be compared."""

    def __init__(self, client: ScimClient) -> None:
        self.client = client
        self.ids: dict[str, str] = {}
        self.said: dict[str, Any] = {}

    async def send(self, step: str, method: str, path: str, body: Any = None, **keywords: Any) -> Any:
        response = await self.client.request(method, path, body, **keywords)
        found = response.json() if response.content else None
        names = {value: name for name, value in self.ids.items()}
        if response.status_code >= 400:
            self.said[step] = (response.status_code, (found or {}).get("scimType"))
        elif isinstance(found, dict) and "Resources" in found:
            listed = [one.get("userName") or one.get("displayName") for one in found["Resources"]]
            self.said[step] = (found["totalResults"], listed if "sortBy" in keywords.get("params", {}) else sorted(listed))
        elif method == "PATCH":
            self.said[step] = "done"
        else:
            self.said[step] = (response.status_code, content(found, names) if found else None)
        return found

    async def hold(self) -> dict[str, Any]:
        """The whole of it, from an empty server on."""
        for one in PEOPLE:
            made = await self.send(f"create {one['userName']}", "POST", "/Users", {"schemas": [USER_URN], **one})
            self.ids[one["userName"]] = made["id"]
        await self.refused_creations()
        for text in FILTERS:
            await self.send(f"filter {text}", "GET", "/Users", params={"filter": text})
        for by, order in SORTS:
            await self.send(f"sort by {by} {order}", "GET", "/Users", params={"sortBy": by, "sortOrder": order})
        for start, count in ((1, 2), (3, 2), (4, 5), (9, 2), (0, 2), (1, 0), (1, -1)):
            await self.send(f"page {start} of {count}", "GET", "/Users", params={"startIndex": start, "count": count, "sortBy": "userName"})
        search = {"schemas": [SEARCH_URN], "filter": 'title co "chief"', "attributes": ["userName"]}
        await self.send("search", "POST", "/Users/.search", search)
        await self.send("search everything", "POST", "/.search", search)
        await self.projections()
        await self.changes()
        await self.groups()
        await self.bulk()
        return self.said

    async def refused_creations(self) -> None:
        await self.send("create a taken name", "POST", "/Users", {"schemas": [USER_URN], "userName": "ANN"})
        await self.send("create without a name", "POST", "/Users", {"schemas": [USER_URN], "title": "x"})
        await self.send("create what is no JSON", "POST", "/Users", content=b"{")
        await self.send("get what never was", "GET", "/Users/01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff")
        await self.send("an endpoint that never was", "GET", "/Robots")

    async def projections(self) -> None:
        path = f"/Users/{self.ids['ann']}"
        for attributes in ("userName", "emails.value", f"{ENTERPRISE_URN}:department", "nonsense"):
            await self.send(f"attributes={attributes}", "GET", path, params={"attributes": attributes})
        for excluded in ("emails", "emails.type", "userName,id", ENTERPRISE_URN):
            await self.send(f"excludedAttributes={excluded}", "GET", path, params={"excludedAttributes": excluded})

    async def changes(self) -> None:
        path = f"/Users/{self.ids['ann']}"
        for name, operations in PATCHES:
            await self.send(f"patch: {name}", "PATCH", path, {"schemas": [PATCH_URN], "Operations": operations}, headers={"prefer": "return=representation"})
            await self.send(f"after patch: {name}", "GET", path)
        await self.send("replace", "PUT", path, {"schemas": [USER_URN], "userName": "ann", "displayName": "Ann"})
        await self.send("after replace", "GET", path)
        await self.send("replace with a stale version", "PUT", path, {"schemas": [USER_URN], "userName": "ann"}, headers={"if-match": 'W/"never"'})

    async def groups(self) -> None:
        members = [{"value": self.ids["ann"]}, {"value": self.ids["cy"]}]
        made = await self.send("create a group", "POST", "/Groups", {"schemas": [GROUP_URN], "displayName": "Staff", "members": members})
        self.ids["Staff"] = made["id"]
        path = f"/Groups/{made['id']}"
        for name, operation in (
            ("add", {"op": "add", "path": "members", "value": [{"value": self.ids["dee"]}]}),
            ("remove", {"op": "remove", "path": f'members[value eq "{self.ids["cy"]}"]'}),
        ):
            await self.client.request("PATCH", path, {"schemas": [PATCH_URN], "Operations": [operation]})
            await self.send(f"after {name} of a member", "GET", path)
        await self.send("groups of a member", "GET", "/Groups", params={"filter": f'members.value eq "{self.ids["dee"]}"'})
        await self.send("members of a group", "GET", "/Users", params={"filter": f'groups.value eq "{made["id"]}"'})
        await self.send("delete", "DELETE", f"/Users/{self.ids['dee']}")
        await self.send("after delete", "GET", f"/Users/{self.ids['dee']}")
        await self.send("the group after delete", "GET", path)

    async def bulk(self) -> None:
        operations = [
            {"method": "POST", "path": "/Groups", "bulkId": "g", "data": {"schemas": [GROUP_URN], "displayName": "Bulk", "members": [{"value": "bulkId:u"}]}},
            {"method": "POST", "path": "/Users", "bulkId": "u", "data": {"schemas": [USER_URN], "userName": "eve"}},
            {"method": "POST", "path": "/Users", "bulkId": "v", "data": {"schemas": [USER_URN], "userName": "eve"}},
            {"method": "DELETE", "path": "/Users/01a20a4e-83cd-7cc1-91fa-b37c4d9f24ff"},
        ]
        response = await self.client.post("/Bulk", {"schemas": [BULK_URN], "Operations": operations})
        results = response.json().get("Operations", []) if response.status_code == 200 else response.status_code
        self.said["bulk"] = [(one["method"], one.get("bulkId"), str(one["status"])) for one in results] if isinstance(results, list) else results
        await self.send("after bulk", "GET", "/Groups", params={"filter": 'displayName eq "Bulk"'})
