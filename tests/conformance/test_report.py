"""`rollhouse conformance` on a strict tenant with types of its own: every row that is not passed has its reason, and the page in docs/ says the same."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rollhouse.conformance.deviations import DEVIATIONS
from rollhouse.conformance.probe import room_pause_of
from rollhouse.conformance.requirement import REQUIREMENTS
from rollhouse.conformance.run import run_checks, wanted
from rollhouse.conformance.suites import run_suites
from rollhouse.database.pool import Database
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.definitions import Definitions, read_resource_type, read_schema
from rollhouse.tenancy import tenants
from tests.http.protocol import define, set_profile, slug_of
from tests.servers.service import ROLLHOUSE, ScimClient, Serving

DOCS = Path(__file__).parents[2] / "docs"
LEAST = 145


def with_test_type(known: Definitions) -> Definitions:
    resource, extension, kind = (json.loads((DOCS / "definitions" / f"test-{name}.json").read_text()) for name in ("resource", "extension", "resource-type"))
    return known.with_schema(read_schema(resource)).with_schema(read_schema(extension)).with_type(read_resource_type(kind))


@pytest.fixture
async def strict(acme: ScimClient, service_database: Database) -> ScimClient:
    await define(service_database, acme, with_test_type)
    await set_profile(service_database, acme, strict=True)
    return acme


def rows() -> dict[str, str]:
    """The verdicts in the page by id."""
    found = re.findall(r"^\| (\d{4}-[\d.]+-\d\d) \|.*\| ([^|]+) \|$", (DOCS / "conformance-report.md").read_text(), flags=re.MULTILINE)
    return {name: verdict.strip() for name, verdict in found}


async def test_every_row_that_is_not_passed_has_its_reason_and_the_page_says_the_same(strict: ScimClient, service: Serving, tmp_path: Path) -> None:
    user = await strict.create_user(userName="subject")
    (tmp_path / "secret").write_text(service.run("secret", "create", slug_of(strict), "--subject", user["id"])["secret"])
    command = [ROLLHOUSE, "conformance", "--url", strict.base_url, "--secret-file", str(tmp_path / "secret"), "--json"]
    done = subprocess.run(command, env=service.environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 1, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)

    assert len(report["verdicts"]) >= LEAST
    assert {one["id"] for one in report["verdicts"] if one["outcome"] != "passed"} == set(DEVIATIONS), "each with its reason"
    assert {one["id"]: one["outcome"] for one in report["verdicts"]} == {name: verdict.partition(":")[0] for name, verdict in rows().items()}
    assert [(one["name"], one.get("told", "")) for one in report["suites"]] == [("scim2-tester", ""), ("scim-sanity", "")]
    assert all(why for suite in report["suites"] for why in suite["faults"].values()), "every fault that a suite finds is explained"


async def test_a_limit_is_waited_for_and_is_no_fault(strict: ScimClient, service_database: Database) -> None:
    """Of a bulk request the operations over the limit are answered 429 within 200, and scim2-tester repeats nothing by itself."""
    await tenants.set_limit(service_database, slug_of(strict), 2000, 70, cause=UNATTENDED)
    await set_profile(service_database, strict, strict=True)  # with a secret that knows the limit

    verdicts = await run_checks(strict.base_url, strict.secret, only="7644-3.7")
    tester, sanity = await run_suites(strict.base_url, strict.secret)

    assert [(one.id, one.told) for one in verdicts if one.outcome != "passed"] == []
    assert (tester.faults, tester.told, tester.passed > 100) == ({}, "", True)
    assert all(sanity.faults.values())
    assert (await strict.get("/")).json()["totalResults"] == 0, "nothing is left behind"


@pytest.mark.parametrize(
    ("policy", "left", "seconds"),
    [
        ('"tenant";q=200;w=4', '"tenant";r=10;t=4', 4 * 50 / 190),
        ('"tenant";q=200;w=4', '"tenant";r=60;t=3', 0),
        ('"tenant";q=20;w=20', '"tenant";r=0;t=20', 20),
        ('"tenant";q=20;w=20', '"tenant";r=20;t=0', 0),
        ('"tenant";q=1000;w=9999', '"tenant";r=0;t=9999', 30),
        ("", "", 0),
    ],
)
def test_a_bulk_request_waits_until_a_limit_has_room(policy: str, left: str, seconds: float) -> None:
    assert room_pause_of({"ratelimit-policy": policy, "ratelimit": left}) == pytest.approx(seconds)


async def test_the_checks_find_a_server_that_does_not_conform(acme: ScimClient) -> None:
    """A lenient tenant forgives what the RFCs do not allow, and the checks say so."""
    verdicts = await run_checks(acme.base_url, acme.secret)

    assert sum(one.outcome == "broken" for one in verdicts) >= 5
    assert (await acme.get("/")).json()["totalResults"] == 0, "they leave nothing behind"


def test_the_requirements_are_from_all_three_standards_and_in_order() -> None:
    ids = [one.id for one in wanted()]

    assert len(ids) == len(REQUIREMENTS) >= LEAST
    assert [standard for standard in ("7643", "7644", "9865") if any(one.startswith(standard) for one in ids)] == ["7643", "7644", "9865"]
    assert [one.id for one in wanted("9865")] == [one for one in ids if one.startswith("9865")]
    assert all(one.section == f"RFC {one.id[:4]} {one.id[5:-3]}" for one in wanted())
