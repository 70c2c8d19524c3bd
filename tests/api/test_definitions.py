"""What operators do with a tenant's definitions and profile, by the admin API and by commands, and what a second tenant sees of it: nothing."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from tests.api.conftest import ApiClient, problem
from tests.http.protocol import NOTE, THING, THING_TYPE, THING_URN, slug_of, thing
from tests.servers.service import ROLLHOUSE, ScimClient, Serving

BADGE_URN = "urn:example:params:scim:schemas:Badge"
BADGE: dict[str, Any] = {"id": BADGE_URN, "name": "Badge", "attributes": [{"name": "serial", "uniqueness": "server"}]}


async def test_a_resource_type_by_the_api(operator: ApiClient, acme: ScimClient, globex: ScimClient) -> None:
    base = f"/tenants/{slug_of(acme)}"
    for definition in (THING, NOTE):
        added = await operator.post(f"{base}/schemas", {"definition": definition})
        assert added.status_code == 201
        assert (await operator.get(added.headers["location"].removeprefix("/api/v1"))).json() == added.json()
    added = await operator.post(f"{base}/resource-types", {"definition": THING_TYPE})
    assert added.status_code == 201
    assert (await operator.get(added.headers["location"].removeprefix("/api/v1"))).json() == added.json()

    made = (await acme.post("/Things", thing(height=3))).json()
    listed = (await operator.get(f"{base}/resources/Thing")).json()["items"]
    assert listed == [made]
    assert (await operator.get(f"{base}/resources/Thing/{made['id']}")).json() == made
    assert (await operator.get(f"{base}/usage")).json()["resources"] == {"User": 0, "Group": 0, "Thing": 1}
    types = (await operator.get(f"{base}/resource-types")).json()["items"]
    assert [(one["definition"]["name"], one["definition"]["endpoint"]) for one in types] == [("Thing", "/Things")]
    assert {one["definition"]["id"] for one in (await operator.get(f"{base}/schemas")).json()["items"]} == {THING["id"], NOTE["id"]}
    other = f"/tenants/{slug_of(globex)}"
    assert (await operator.get(f"{other}/schemas")).json()["items"] == []
    for path, what in ((f"schemas/{THING_URN}", "no schema"), ("resource-types/Thing", "no resource type")):
        assert f"has defined {what}" in problem(await operator.get(f"{other}/{path}"), 404)["detail"]
    assert "has no resource type" in problem(await operator.get(f"{other}/resources/Thing"), 404)["detail"]

    assert "Remove that first" in problem(await operator.request("DELETE", f"{base}/schemas/{THING_URN}"), 409)["detail"]
    assert "resource type would be gone" in problem(await operator.request("DELETE", f"{base}/resource-types/Thing"), 409)["detail"]
    await acme.delete(f"/Things/{made['id']}")
    assert (await operator.request("DELETE", f"{base}/resource-types/Thing")).json() == {"items": []}
    assert (await operator.request("DELETE", f"{base}/schemas/{THING_URN}")).status_code == 200
    assert (await acme.get("/Things")).status_code == 404


async def test_an_extension_is_tried_before_it_is_made(operator: ApiClient, acme: ScimClient) -> None:
    base = f"/tenants/{slug_of(acme)}/schemas"
    users = [await acme.create_user(userName=name, **{BADGE_URN: {"serial": "same"}}) for name in ("ann", "bob")]
    asked = {"definition": BADGE, "extends": "User"}

    verdict = (await operator.post(f"{base}/validate", asked)).json()["offences"]
    refusal = problem(await operator.post(base, asked), 409)["detail"]

    assert [(one["resource_type"], one["id"]) for one in verdict] == [("User", users[1]["id"])]
    assert users[1]["id"] in refusal
    assert "shares the" in refusal
    await acme.delete(f"/Users/{users[1]['id']}")
    assert (await operator.post(f"{base}/validate", asked)).json() == {"offences": []}
    assert (await operator.post(base, asked)).status_code == 201
    assert (await acme.get("/Users", params={"filter": f'{BADGE_URN}:serial eq "SAME"'})).json()["totalResults"] == 1
    assert "name that in extends" in problem(await operator.post(base, {"definition": BADGE, "required": True}), 400)["detail"]
    assert "no resource type" in problem(await operator.post(base, {"definition": BADGE, "extends": "Robot"}), 404)["detail"]


async def test_a_profile_by_the_api(operator: ApiClient, acme: ScimClient) -> None:
    path = f"/tenants/{slug_of(acme)}/profile"
    usual = {"strict": False, "patch_answer": "usual", "indirect_groups": False, "group_members": False, "members_shown": None}
    before = await operator.get(path)
    assert before.json() == usual

    etag = {"if-match": before.headers["etag"]}
    changed = await operator.request("PUT", path, json={"strict": True, "members_shown": 10}, headers=etag)
    assert changed.json() == usual | {"strict": True, "members_shown": 10}
    assert (await operator.request("PUT", path, json={}, headers=etag)).status_code == 412
    assert (await acme.post("/Users", {"userName": "ann"})).json()["scimType"] == "invalidSyntax", "schemas is missing"
    assert (await operator.request("PUT", path, json={})).json() == usual
    for wrong in ({"strict": "yes"}, {"patch_answer": "some"}, {"members_shown": -1}, {"unheard": 1}):
        assert problem(await operator.request("PUT", path, json=wrong), 400)


async def test_the_same_by_commands(service: Serving, acme: ScimClient, tmp_path: Path) -> None:
    slug = slug_of(acme)
    files = {name: tmp_path / f"{name}.json" for name in ("thing", "note", "type", "badge")}
    for path, definition in zip(files.values(), (THING, NOTE, THING_TYPE, BADGE), strict=True):
        path.write_text(json.dumps(definition))

    for name in ("thing", "note"):
        service.run("schema", "add", slug, str(files[name]))
    assert service.run("resource-type", "validate", slug, str(files["type"])) == {"offences": []}
    assert service.run("resource-type", "add", slug, str(files["type"])) == {"name": "Thing", "endpoint": "/Things"}
    assert (await acme.post("/Things", thing())).status_code == 201
    assert {one["id"] for one in service.run("schema", "list", slug)} == {THING_URN, NOTE["id"]}
    assert [one["endpoint"] for one in service.run("resource-type", "list", slug)] == ["/Things"]
    refused = subprocess.run([ROLLHOUSE, "resource-type", "remove", slug, "Thing"], env=service.environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "resource type would be gone" in refused.stderr

    await acme.create_user(userName="ann")
    command = [ROLLHOUSE, "schema", "validate", slug, str(files["badge"]), "--extends", "User", "--required", "--json"]
    tried = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
    assert tried.returncode == 1
    assert "is required" in json.loads(tried.stdout)["offences"][0]["reason"]
    service.run("schema", "add", slug, str(files["badge"]), "--extends", "User")
    assert service.run("schema", "remove", slug, BADGE_URN) == {"id": BADGE_URN}
    files["badge"].write_text("[")
    broken = subprocess.run([ROLLHOUSE, "schema", "add", slug, str(files["badge"])], env=service.environment, capture_output=True, text=True, check=False)
    assert (broken.returncode, "is no JSON object" in broken.stderr) == (2, True)


async def test_a_profile_and_a_subject_by_commands(service: Serving, acme: ScimClient) -> None:
    slug = slug_of(acme)
    user = await acme.create_user(userName="ann")

    assert service.run("tenant", "profile", slug)["strict"] is False
    assert service.run("tenant", "profile", slug, "--strict", "--members-shown", "5")["members_shown"] == 5
    assert service.run("tenant", "profile", slug, "--lenient", "--members-shown", "all") == service.run("tenant", "profile", slug)
    secret = service.run("secret", "create", slug, "--subject", user["id"])["secret"]
    ann = ScimClient(acme.base_url, secret)
    assert (await ann.get("/Me")).json() == user
    await ann.close()


async def test_an_export_carries_definitions(service: Serving, acme: ScimClient, globex: ScimClient, tmp_path: Path) -> None:
    slug, other = slug_of(acme), slug_of(globex)
    for definition in (THING, NOTE):
        (tmp_path / "one.json").write_text(json.dumps(definition))
        service.run("schema", "add", slug, str(tmp_path / "one.json"))
    (tmp_path / "type.json").write_text(json.dumps(THING_TYPE))
    service.run("resource-type", "add", slug, str(tmp_path / "type.json"))
    made = (await acme.post("/Things", thing(height=3, tags=["a"]))).json()

    service.run("tenant", "export", slug, "--to", str(tmp_path / "acme.ndjson"))
    service.run("tenant", "import", other, "--from", str(tmp_path / "acme.ndjson"))

    found = (await globex.get("/Things", params={"filter": "height eq 3"})).json()["Resources"]
    assert [(one["id"], one["serial"], one["tags"]) for one in found] == [(made["id"], made["serial"], made["tags"])]
    assert (await globex.post("/Things", thing())).json()["scimType"] == "uniqueness"

    lines = (tmp_path / "acme.ndjson").read_bytes().replace(b'"name":"serial"', b'"name":"se.rial"', 1)
    (tmp_path / "bad.ndjson").write_bytes(lines)
    manifest = json.loads((tmp_path / "acme.ndjson.manifest.json").read_text()) | {"sha256": hashlib.sha256(lines).hexdigest()}
    (tmp_path / "bad.ndjson.manifest.json").write_text(json.dumps(manifest))
    command = [ROLLHOUSE, "tenant", "import", other, "--from", str(tmp_path / "bad.ndjson")]
    refused = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert '"se.rial" cannot be the name' in refused.stderr


async def test_memberships_are_no_type_of_the_admin_api(operator: ApiClient, acme: ScimClient) -> None:
    base = f"/tenants/{slug_of(acme)}"
    assert (await operator.request("PUT", f"{base}/profile", json={"group_members": True})).status_code == 200

    detail = problem(await operator.get(f"{base}/resources/GroupMember"), 404)["detail"]
    assert detail.endswith("it has User, Group.")
    assert set((await operator.get(f"{base}/usage")).json()["resources"]) == {"User", "Group"}
