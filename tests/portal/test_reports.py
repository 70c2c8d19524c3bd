"""Reports: what they find, that they end in time, and that no spreadsheet runs a cell of theirs."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollhouse.database.pool import Database
from rollhouse.directory import integrity
from rollhouse.directory.integrity import FINDINGS
from rollhouse.portal.reports import harmless
from rollhouse.scim.errors import TooMany
from tests.portal.conftest import People


async def test_each_finding_names_what_somebody_should_look_at(visitors: People, service_database: Database) -> None:
    client = visitors.client
    same = [await client.create_user(userName=f"twin{number}", emails=[{"value": "twin@acme.example"}]) for number in range(2)]
    bare = await client.create_user(userName="bare")
    gone = await client.create_user(userName="gone", active=False, emails=[{"value": "gone@acme.example"}])
    await client.create_group(displayName="Few", members=[{"value": gone["id"]}, {"value": same[0]["id"]}])
    empty = await client.create_group(displayName="Empty")
    expected = {
        "users-without-email": {bare["id"]},
        "same-email": {one["id"] for one in same},
        "empty-groups": {empty["id"]},
        "inactive-members": {gone["id"]},
    }
    assert set(expected) == set(FINDINGS)
    for finding, ids in expected.items():
        found = await integrity.search(service_database, visitors.tenant.id, finding)  # type: ignore[arg-type]
        assert {str(one) for one in found.ids} == ids, finding
        page = (await visitors["viewer"].get(f"{visitors.base}/reports/{finding}")).text
        assert all(one in page for one in ids)
    assert (await visitors["viewer"].get(f"{visitors.base}/reports/another")).status_code == 404
    assert "svg" in (await visitors["viewer"].get(f"{visitors.base}/reports")).text


async def test_a_search_that_takes_too_long_is_said_so(visitors: People, service_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(integrity._SEARCHES, "empty-groups", "SELECT $1::uuid FROM pg_sleep(5) LIMIT $2")
    monkeypatch.setattr(integrity, "TIMEOUT_MILLISECONDS", 100)

    with pytest.raises(TooMany, match="too large"):
        await integrity.search(service_database, visitors.tenant.id, "empty-groups")


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://evil.example")', "=cmd|' /C calc'!A0"]


@pytest.mark.threat("T35")
async def test_no_cell_of_a_download_is_a_formula(visitors: People) -> None:
    for number, formula in enumerate(FORMULAS):
        made = await visitors.client.post(
            "/Users", {"userName": f"{formula}{number}", "displayName": formula.replace("\r", ""), "externalId": formula.replace("\r", "")}
        )
        assert made.status_code in (201, 400)
    answer = await visitors["viewer"].get(f"{visitors.base}/reports/users-without-email/csv")

    assert answer.headers["content-disposition"] == 'attachment; filename="users-without-email.csv"'
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) > len(FORMULAS) // 2
    for row in rows[1:]:
        for cell in row:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


@pytest.mark.threat("T35")
@given(st.text())
def test_what_begins_like_a_formula_is_text_and_the_rest_is_as_it_was(cell: str) -> None:
    shown = harmless(cell)
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert shown in (cell, "'" + cell)
