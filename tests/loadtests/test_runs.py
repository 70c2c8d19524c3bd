"""The command against a running service: alone, with two sending processes, and in the ways in which it must fail."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from loadtests.keys import KEY_VARIABLE, SCOPES

from tests.conftest import PEPPER, Cluster
from tests.servers.service import Serving, clean_environment, free_port

ROOT = Path(__file__).resolve().parents[2]
SCOPE_OPTIONS = [word for scope in SCOPES for word in ("--scope", scope)]


@pytest.fixture(scope="module")
def key(service: Serving) -> str:
    return service.run("api-key", "create", *SCOPE_OPTIONS)["key"]


def run(key: str, plan: Path, *options: str, status: int | None = 0) -> str:
    """What the command said; the operator's key and the tenants' secrets are not in it. Status None: a busy machine may make it slow, and that fails a run."""
    variables = {KEY_VARIABLE: key} if key else {}
    command = [sys.executable, "-m", "loadtests", "--plan", str(plan), *options]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(**variables), capture_output=True, text=True, check=False, timeout=180)
    said = done.stdout + done.stderr
    log = plan.with_suffix(".log")
    everything = said + (log.read_text() if log.exists() else "")
    assert done.returncode == status if status is not None else done.returncode in {0, 1}, everything
    assert [secret for secret in [*secrets_of(plan), key] if secret and secret in everything] == []
    return said


def secrets_of(plan: Path) -> list[str]:
    return [seat["secret"] for seat in json.loads(plan.read_bytes())["seats"]] if plan.exists() else []


def held(result: Path, *, but_latency: str) -> dict[str, Any]:
    """The document of a run that held everything, except for what a busy machine can spoil."""
    found = json.loads(result.read_bytes())
    missed = {condition["what"] for condition in found["conditions"] if not condition["met"]}
    assert found["passed"] is not bool(missed)
    assert missed <= {f"{but_latency}: p99", f"{but_latency}: sent of what was due"}, found["conditions"]
    return found


def shares(kinds: dict[str, Any], names: Sequence[str]) -> float:
    return sum(kinds[name]["requests"] for name in names if name in kinds) / sum(found["requests"] for found in kinds.values())


def test_a_short_certification_passes_and_the_next_run_takes_the_same_tenants(service: Serving, key: str, tmp_path: Path) -> None:
    plan, result, picture = tmp_path / "plan.json", tmp_path / "result.json", tmp_path / "run.svg"
    options = ["--url", service.url, "--tenants", "2", "--json", str(result), "--picture", str(picture)]

    said = run(key, plan, "--profile", "certification", "--minutes", "0.2", *options, status=None)

    found = held(result, but_latency="certified")
    assert f"certification: {'PASSED' if found['passed'] else 'FAILED'}" in said
    assert plan.stat().st_mode & 0o077 == 0
    kinds = found["kinds"]["certified"]
    assert found["roles"]["certified"]["requests"] > 0.9 * 2 * 25 * 12
    assert found["roles"]["certified"]["errors"] == 0
    assert set(kinds) >= {"probe_user", "match_user", "read_user", "create_user", "patch_user", "read_group", "add_members", "remove_members"}
    assert shares(kinds, ["match_user", "match_group", "probe_user", "probe_group", "member_check"]) == pytest.approx(0.36, abs=0.12)
    assert shares(kinds, ["patch_user", "add_members", "remove_members"]) == pytest.approx(0.33, abs=0.12)
    ET.fromstring(picture.read_text())
    assert [secret for secret in secrets_of(plan) if secret in result.read_text() + picture.read_text()] == []

    first = json.loads(plan.read_bytes())["seats"]
    distributed = run(key, plan, "--profile", "stampede", "--minutes", "0.2", "--workers", "2", *options, "--delete", status=None)

    found = held(result, but_latency="cycling")
    assert found["generator"]["processes"] == 2
    assert found["roles"]["cycling"]["tenants"] == 2
    assert found["roles"]["cycling"]["errors"] == 0
    assert {"set_manager", "create_group", "add_members"} <= set(found["kinds"]["cycling"])
    assert "Deleted 2 tenants." in distributed
    assert not plan.exists()
    assert {service.run("tenant", "show", seat["slug"])["status"] for seat in first} == {"deleting"}


def test_lost_secrets_are_replaced_and_limits_put_back(service: Serving, key: str, tmp_path: Path) -> None:
    options = ["--url", service.url, "--tenants", "2", "--minutes", "0.02", "--profile"]
    result = tmp_path / "result.json"
    run(key, tmp_path / "one.json", *options, "stress", "--json", str(result), status=None)
    stressed = json.loads(result.read_bytes())["roles"]
    assert {name: found["tenants"] for name, found in stressed.items()} == {"neighbours": 1, "offender": 1}
    assert all(found["requests"] and not found["errors"] for found in stressed.values()), stressed
    assert stressed["neighbours"]["throttled"] == 0
    slugs = [seat["slug"] for seat in json.loads((tmp_path / "one.json").read_bytes())["seats"]]
    limited = [service.run("tenant", "show", slug)["rate_per_second"] for slug in slugs]

    run(key, tmp_path / "two.json", *options, "busy-hour", "--json", str(result), status=None)

    busy = json.loads(result.read_bytes())["roles"]
    assert sum(found["requests"] for found in busy.values()) > 0
    assert sum(found["errors"] + found["throttled"] for found in busy.values()) == 0
    assert limited == [None, 25]
    assert [service.run("tenant", "show", slug)["rate_per_second"] for slug in slugs] == [None, None]
    for slug in slugs:
        states = [one["state"] for one in service.run("secret", "list", slug)]
        assert states.count("active") == 1
    run(key, tmp_path / "two.json", "--url", service.url, "--delete")


def test_a_key_is_made_in_the_data_dir_and_revoked(service: Serving, tmp_path: Path) -> None:
    private = tmp_path / "data" / "private"
    private.mkdir(parents=True)
    (private / "dev.json").write_text(json.dumps({"database_url": service.environment["ROLLHOUSE_DATABASE_URL"], "peppers": PEPPER}))

    run("", tmp_path / "plan.json", "--url", service.url, "--delete", "--data-dir", str(tmp_path / "data"))

    made = [one for one in service.run("api-key", "list") if one["label"] == "loadtests"]
    assert made
    assert {one["state"] for one in made} == {"revoked"}


def test_a_service_that_limits_too_much_fails_the_run(embedded_cluster: Cluster, key: str, tmp_path: Path) -> None:
    limits = {"ROLLHOUSE_RATE_PER_SECOND": "3", "ROLLHOUSE_BURST": "3"}
    serving = Serving(tmp_path / "service.log", {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, **limits})
    serving.start()
    try:
        options = ["--url", serving.url, "--tenants", "2", "--minutes", "0.05", "--profile", "baseline"]
        said = run(key, tmp_path / "plan.json", *options, status=1)
    finally:
        assert serving.stop() == 0

    assert "baseline: FAILED" in said
    assert "NOT MET steady: errors" in said
    assert "429" in said


def test_a_service_that_does_not_answer_fails_the_run(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = run("scimok_none", tmp_path / "plan.json", "--url", url, "--profile", "baseline", status=1)
    assert f"Error: {url} does not answer" in said


def test_a_key_that_is_refused_fails_the_run(service: Serving, tmp_path: Path) -> None:
    assert "401" in run("scimok_none", tmp_path / "plan.json", "--url", service.url, "--profile", "baseline", status=1)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ([], "Name a --profile"),
        (["--profile", "stress", "--tenants", "1"], "stress needs at least 2 tenants"),
        (["--profile", "nothing"], "is not one of"),
        (["--profile", "baseline", "--data-dir", "nowhere"], f"Set {KEY_VARIABLE}"),
        (["--join", "127.0.0.1"], "holds no plan"),
    ],
)
def test_wrong_usage_is_explained(options: list[str], why: str, tmp_path: Path) -> None:
    assert why in " ".join(run("", tmp_path / "plan.json", *options, status=2).split())


def test_the_help_has_an_example() -> None:
    said = subprocess.run([sys.executable, "-m", "loadtests", "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "python -m loadtests --profile baseline --url http://127.0.0.1:8080 --tenants 5 --minutes 1" in " ".join(said.split())
