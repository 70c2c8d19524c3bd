"""Files that are not what an export is: each is refused with the number of the line, and nothing of a refused line is stored."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rollhouse.database.pool import Database
from rollhouse.directory import transfer
from rollhouse.directory.archive import manifest_path
from rollhouse.journal import audit
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import Conflict, InvalidValue, ScimError, Uniqueness
from rollhouse.tenancy import lifecycle
from rollhouse.tenancy.tenants import Tenant

Change = Callable[[list[bytes]], None]


def rewrite(path: Path, change: Change, **counts: Any) -> None:
    """The file with other lines, and a manifest that fits it: somebody made it on purpose."""
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))
    manifest = json.loads(manifest_path(path).read_bytes())
    manifest_path(path).write_text(json.dumps(manifest | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} | counts))


def edited(number: int, **members: Any) -> Change:
    """A change of members of the line of that number; None takes one away."""

    def change(lines: list[bytes]) -> None:
        line = json.loads(lines[number - 1]) | members
        lines[number - 1] = json.dumps({name: value for name, value in line.items() if value is not None}).encode() + b"\n"

    return change


def document(number: int, **members: Any) -> Change:
    """A change of members of the document in the line of that number."""

    def change(lines: list[bytes]) -> None:
        line = json.loads(lines[number - 1])
        line["document"] = {name: value for name, value in (line["document"] | members).items() if value is not None}
        lines[number - 1] = json.dumps(line).encode() + b"\n"

    return change


def swapped(first: int, second: int) -> Change:
    def change(lines: list[bytes]) -> None:
        lines[first - 1], lines[second - 1] = lines[second - 1], lines[first - 1]

    return change


def replaced(number: int, text: bytes) -> Change:
    def change(lines: list[bytes]) -> None:
        lines[number - 1] = text

    return change


def without(number: int) -> Change:
    def change(lines: list[bytes]) -> None:
        del lines[number - 1]

    return change


USER_LINE, GROUP_LINE, MEMBER_LINE, LAST_LINE = 5, 32, 33, 62

REFUSED: dict[str, tuple[Change, type[ScimError], str]] = {
    "no JSON": (replaced(USER_LINE, b"{nothing\n"), InvalidValue, "Line 5 cannot be read"),
    "not UTF-8": (replaced(USER_LINE, b'{"line":"\xff"}\n'), InvalidValue, "Line 5 cannot be read"),
    "depth": (replaced(USER_LINE, b"[" * 100_000 + b"\n"), InvalidValue, "Line 5 cannot be read"),
    "another kind of line": (edited(USER_LINE, line="secret"), InvalidValue, "Line 5 cannot be read"),
    "an unknown member": (edited(USER_LINE, tenant_id="x"), InvalidValue, "Line 5 cannot be read"),
    "no header": (without(1), InvalidValue, "Line 1 cannot be read: it is out of order"),
    "another format": (edited(1, format_version=3), InvalidValue, "Line 1 cannot be read: its format is 3"),
    "two headers": (lambda lines: lines.insert(3, lines[0]), InvalidValue, "Line 4 cannot be read: it is out of order"),
    "resources out of order": (swapped(USER_LINE, 6), InvalidValue, "Line 6 cannot be read: it is out of order"),
    "a membership twice": (lambda lines: lines.insert(MEMBER_LINE, lines[MEMBER_LINE - 1]), InvalidValue, "Line 34 cannot be read: it is out of order"),
    "a resource behind memberships": (swapped(GROUP_LINE, MEMBER_LINE), InvalidValue, "Line 33 cannot be read: it is out of order"),
    "cut off": (replaced(LAST_LINE, b'{"line":"membership"'), InvalidValue, "Line 62 cannot be read: it is not complete"),
    "an unknown type": (edited(USER_LINE, type="Robot"), InvalidValue, "Line 5 cannot be read: there is no resource type"),
    "version 0": (edited(USER_LINE, version=0), InvalidValue, "Line 5 cannot be read"),
    "a time without a zone": (edited(USER_LINE, created="2026-01-01T00:00:00"), InvalidValue, "Line 5 cannot be read"),
    "no user name": (document(USER_LINE, userName=None), InvalidValue, "Line 5 cannot be read: the document lacks userName"),
    "an id in the document": (document(USER_LINE, id="x"), InvalidValue, "Line 5 cannot be read: the document holds id"),
    "members in the document": (document(GROUP_LINE, members=[]), InvalidValue, "Line 32 cannot be read: the document holds members"),
    "a NUL": (document(USER_LINE, title="a\0b"), InvalidValue, "Line 5 cannot be read: the document holds a character"),
    "a name twice": (document(USER_LINE, userName="USER0"), Uniqueness, "Line 5: another User has the same username"),
    "a member that is nobody": (edited(LAST_LINE, member="ffffffff-ffff-7fff-bfff-ffffffffffff"), InvalidValue, "Line 62 names a group or a member"),
    "a user as a group": (lambda lines: lines.append(_as_group(lines)), InvalidValue, "out of order|names a group"),
}


def _as_group(lines: list[bytes]) -> bytes:
    user = json.loads(lines[USER_LINE - 1])["id"]
    return json.dumps({"line": "membership", "group": "ffffffff-ffff-7fff-bfff-ffffffffffff", "member": user}).encode() + b"\n"


@pytest.mark.parametrize("name", REFUSED)
async def test_a_file_that_somebody_changed_is_refused_with_its_line(database: Database, other_tenant: Tenant, exported: Path, name: str) -> None:
    change, refusal, words = REFUSED[name]
    rewrite(exported, change)

    with pytest.raises(refusal, match=words) as caught:
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)

    assert "USER0" not in str(caught.value)
    assert "tenant.imported" not in [one.action for one in await audit.list_entries(database, other_tenant.id)]


async def test_what_stands_before_a_refused_line_is_gone_on_with_once_the_file_is_right(
    database: Database, other_tenant: Tenant, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "BATCH", 10)
    good, manifest = exported.read_bytes(), manifest_path(exported).read_bytes()
    rewrite(exported, edited(25, type="Robot"))
    with pytest.raises(InvalidValue, match="Line 25"):
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)
    assert await transfer.count_lines(database, other_tenant) == 20
    exported.write_bytes(good)
    manifest_path(exported).write_bytes(manifest)

    await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)

    assert await transfer.count_lines(database, other_tenant) == 61


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (None, "cannot be read .*An export is two files"),
        ("{", "is no manifest of an export"),
        ('{"format_version":1}', "is no manifest of an export"),
    ],
)
async def test_a_manifest_that_is_missing_or_none_is_named(database: Database, other_tenant: Tenant, exported: Path, manifest: str | None, words: str) -> None:
    manifest_path(exported).unlink()
    if manifest is not None:
        manifest_path(exported).write_text(manifest)

    with pytest.raises(InvalidValue, match=words):
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)


async def test_counts_that_differ_from_the_manifest_are_told(database: Database, other_tenant: Tenant, exported: Path) -> None:
    rewrite(exported, lambda _: None, memberships=29)

    with pytest.raises(InvalidValue, match="other numbers of lines"):
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)


async def test_a_tenant_that_is_being_deleted_takes_no_import(database: Database, other_tenant: Tenant, exported: Path) -> None:
    deleted = await lifecycle.delete_tenant(database, other_tenant.slug, cause=UNATTENDED)

    with pytest.raises(Conflict, match="tenant restore"):
        await transfer.import_tenant(database, deleted, exported, cause=UNATTENDED)


async def test_an_export_overwrites_nothing_and_goes_on_with_nobody_elses(
    database: Database, tenant: Tenant, other_tenant: Tenant, exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match="is there already"):
        await transfer.export_tenant(database, tenant, exported)
    begun = tmp_path / "begun.ndjson"
    begun.with_name("begun.ndjson.part").write_bytes(exported.read_bytes())
    with pytest.raises(Conflict, match="another tenant"):
        await transfer.export_tenant(database, other_tenant, begun)
    begun.with_name("begun.ndjson.part").write_bytes(b"something else\n")
    with pytest.raises(InvalidValue, match="Line 1"):
        await transfer.export_tenant(database, other_tenant, begun)


@pytest.mark.threat("T07")
@pytest.mark.threat("T08")
@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"password": "t0p-secret-canary"}, "password"),
        ({"userName": 5}, "userName"),
        ({"userName": {}}, "userName"),
        ({"emails": "ann@acme.example"}, "emails"),
        ({"emails": [{"value": 5}]}, "emails"),
        ({"active": "False"}, "active"),
        ({"isAdmin": True}, "isAdmin"),
    ],
)
async def test_a_document_that_could_not_have_come_in_by_scim_is_refused(
    database: Database, other_tenant: Tenant, exported: Path, members: dict[str, Any], named: str
) -> None:
    """A file is a door like any other: what it brings is held to the same schema, and a password is not taken."""
    rewrite(exported, document(USER_LINE, **members))

    with pytest.raises(InvalidValue, match=r"Line 5 cannot be read: the document could not have come in by SCIM") as caught:
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)

    assert "canary" not in str(caught.value)
    assert await transfer.count_lines(database, other_tenant) == 0


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_time_that_no_database_holds_is_refused_with_its_line(database: Database, other_tenant: Tenant, exported: Path, moment: str) -> None:
    rewrite(exported, edited(USER_LINE, created=moment))

    with pytest.raises(InvalidValue, match="Line 5 cannot be read: a time is out of"):
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)


@pytest.mark.threat("T31")
async def test_each_batch_of_an_import_has_its_row_in_the_audit(
    database: Database, tenant: Tenant, other_tenant: Tenant, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one that is broken off, and of one that brings back what was deleted since."""
    monkeypatch.setattr(transfer, "BATCH", 10)
    good, manifest = exported.read_bytes(), manifest_path(exported).read_bytes()
    rewrite(exported, edited(25, type="Robot"))
    with pytest.raises(InvalidValue):
        await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)
    broken_off = [one for one in await audit.list_entries(database, other_tenant.id) if one.action == "tenant.resources_imported"]
    assert [len(one.added) for one in broken_off] == [10, 10]
    exported.write_bytes(good)
    manifest_path(exported).write_bytes(manifest)
    await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)
    rows = await audit.list_entries(database, other_tenant.id)
    imported = [one for row in rows if row.action == "tenant.resources_imported" for one in row.added]
    joined = [one for row in rows if row.action == "resource.updated" and row.attributes == ["members"] for one in row.added]
    assert (len(imported), len(joined)) == (31, 30)

    before = len(rows)
    await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)
    assert len(await audit.list_entries(database, other_tenant.id)) == before, "an import that changes nothing leaves no row"
    last = imported[-1]
    async with database.transaction(other_tenant.id) as tx:
        await tx.fetch("SELECT rollhouse.delete_resource($1, 'test', '-', 'Group', $2, NULL)", other_tenant.id, last)
    await transfer.import_tenant(database, other_tenant, exported, cause=UNATTENDED)
    brought_back = (await audit.list_entries(database, other_tenant.id))[before:]
    assert [row.action for row in brought_back[:2]] == ["resource.deleted", "tenant.resources_imported"]
    assert {row.action for row in brought_back[2:]} == {"resource.updated"}
    assert sum(len(row.added) for row in brought_back[2:]) == 30
