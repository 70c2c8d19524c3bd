"""Whole scenarios against a stand-in server: a good one passes, and each way to be bad is found."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rollhouse.simulator import SCENARIOS, Report, ScenarioRequest, UnreachableError, run_scenario

from .stand_in import SECRET, StandIn, failure, reply

Play = Callable[..., Awaitable[Report]]
HONOURING_SEED, IGNORING_SEED = 1, 3
MAIL_MATCHING_SEED = 7
TARGET_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.mark.parametrize("dialect", ["legacy", "flag"])
@pytest.mark.parametrize("scenario", list(SCENARIOS))
async def test_a_good_server_passes(play: Play, scenario: str, dialect: str) -> None:
    report = await play(scenario, dialect=dialect)

    assert report.ok, report.as_text()
    assert report.writes_in_second_incremental == 0
    assert report.evaluated_in_second_incremental > 10


@pytest.mark.parametrize("url_end", ["/", "?aadOptscim062020", "/?aadOptscim062020="])
async def test_every_form_of_the_tenant_url_works(play: Play, stand_in: StandIn, url_end: str) -> None:
    report = await play(url_end=url_end)

    assert report.ok, report.as_text()
    assert report.dialect == ("flag" if "?" in url_end else "legacy")
    assert all(("//Users" in path) == ("/" in url_end) for _, path, _ in stand_in.seen if "Users" in path)


async def test_users_are_matched_by_mail_where_the_tenant_does_so(play: Play) -> None:
    report = await play("restart", seed=MAIL_MATCHING_SEED)

    assert report.ok, report.as_text()
    assert report.profile["user_match"].startswith("emails")


async def test_same_seed_and_tag_send_the_same_requests(play: Play, stand_in: StandIn) -> None:
    """Parallel workers may change the order, never the requests; ids of the server are its own."""
    seen = []
    for _ in range(2):
        stand_in.seen.clear()
        stand_in.users.clear()
        stand_in.groups.clear()
        await play("tombstone", seed=5)
        seen.append(sorted(TARGET_ID.sub("-", f"{method} {path} {body!r}") for method, path, body in stand_in.seen))

    assert seen[0] == seen[1]


async def test_another_run_tag_does_not_meet_the_earlier_run(play: Play) -> None:
    first, second = await play(run_tag="one"), await play(run_tag="two")

    assert first.ok
    assert second.ok, second.as_text()


async def test_a_lossy_server_gets_writes_in_the_quiet_cycle(play: Play, stand_in: StandIn) -> None:
    """scim-clients section 12.8: this is what the quiet cycle is for."""
    stand_in.drops = frozenset({"title"})
    report = await play()

    assert report.writes_in_second_incremental > 10
    assert not report.converged
    assert "title" in report.divergences[0].why


async def test_a_wrong_secret_quarantines_at_the_first_probe(play: Play) -> None:
    report = await play(secret="wrong")

    assert report.quarantined == "the connection test ended with status 401"
    assert not report.ok
    assert report.tally.incompatible_count == 0
    assert "wrong" not in str(report.as_document())


async def test_a_404_for_a_filter_quarantines_and_is_incompatible(play: Play, stand_in: StandIn) -> None:
    stand_in.spoil = lambda request, answer: failure(404, "none") if "filter" in request.query else answer
    report = await play()

    assert report.quarantined
    assert report.tally.incompatible[0].status == "404"


async def test_a_secret_that_dies_mid_cycle_quarantines(play: Play, stand_in: StandIn) -> None:
    stand_in.spoil = lambda request, answer: failure(401, "expired") if request.method == "PATCH" else answer
    report = await play()

    assert report.quarantined
    assert report.writes_in_second_incremental == -1


def spoil_some(every: int, answer: Callable[[], web.Response]) -> Callable[[web.Request, web.Response], web.Response]:
    count = 0

    def spoil(request: web.Request, good: web.Response) -> web.Response:
        nonlocal count
        probe = "filter" in request.query and request.query["filter"].count("-") == 4
        if request.method == "GET" and (probe or "startIndex" in request.query):
            return good
        count += 1
        return answer() if count % every == 0 and count < 400 else good

    return spoil


@pytest.mark.parametrize("seed", [HONOURING_SEED, IGNORING_SEED])
async def test_throttling_ends_healthy_whether_retry_after_is_honoured_or_not(play: Play, stand_in: StandIn, seed: int) -> None:
    stand_in.spoil = spoil_some(40, lambda: failure(429, "slow down", headers={"Retry-After": "0"}))
    report = await play(seed=seed)

    assert report.profile["on_429"] == ("honour" if seed == HONOURING_SEED else "ignore")
    assert report.ok, report.as_text()


@pytest.mark.parametrize("status", [500, 503])
async def test_faults_go_to_escrow_and_are_made_good(play: Play, stand_in: StandIn, status: int) -> None:
    """The stand-in has done the work before it fails: repetitions must be idempotent."""
    stand_in.spoil = spoil_some(9, lambda: failure(status, "try again"))
    report = await play()

    assert report.ok, report.as_text()
    assert any(record.kind == "settling" or record.requests for record in report.cycles)


async def test_connections_that_break_after_the_work_was_done_are_survived(stand_in: StandIn) -> None:
    lost = 0
    original = stand_in.handle

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal lost
        answer = await original(request)
        if request.method != "GET" and lost < 20:
            lost += 1
            assert request.transport is not None
            request.transport.close()
        return answer

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(application) as server:
        url = str(server.make_url("/scim"))
        report = await run_scenario(ScenarioRequest(url=url, secret=SECRET, rate_per_second=0))

    assert report.ok, report.as_text()
    assert sum(counts.get("reset", 0) for counts in report.tally.statuses.values()) >= 20


async def test_a_user_who_is_gone_is_created_again(play: Play, stand_in: StandIn) -> None:
    """scim-clients section 12.6: 404 on a linked user drops the link."""
    reads = 0

    def spoil(request: web.Request, answer: web.Response) -> web.Response:
        nonlocal reads
        if request.method == "GET" and "/Users/" in request.path:
            reads += 1
            if reads == 1:
                key = request.path.rpartition("/")[2]
                del stand_in.users[key]
                for members in stand_in.members.values():
                    members.pop(key, None)
                return failure(404, "gone")
        return answer

    stand_in.spoil = spoil
    report = await play(seed=2)

    assert reads > 1
    assert report.tally.statuses["create_user"]["201"] >= 51


def change_body(**changes: Any) -> Callable[[web.Request, web.Response], web.Response]:
    """Change members of the resource in the answer to a create."""

    def spoil(request: web.Request, answer: web.Response) -> web.Response:
        if request.method != "POST" or answer.status != 201:
            return answer
        assert isinstance(answer.body, bytes)
        document = msgspec.json.decode(answer.body) | changes
        return reply(201, document, {"Location": answer.headers["Location"]})

    return spoil


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"userName": "other", "displayName": "other"}, "came back as"),
        ({"title": None}, "title is null"),
        ({"meta": {}}, "meta"),
        ({"id": 7}, "id is not"),
    ],
)
async def test_bad_answers_to_create_are_incompatible(play: Play, stand_in: StandIn, changes: dict[str, Any], why: str) -> None:
    stand_in.spoil = change_body(**changes)
    report = await play(seed=2)

    assert not report.ok
    assert any(why in violation.why for violation in report.tally.incompatible)


async def test_extra_and_missing_members_are_found(play: Play, stand_in: StandIn) -> None:
    def spoil(request: web.Request, answer: web.Response) -> web.Response:
        if request.method == "GET" and "/Groups/" in request.path and "excludedAttributes" not in request.query_string:
            document = {"schemas": ["x"], "id": request.path.rpartition("/")[2], "meta": {"resourceType": "Group"}}
            return reply(200, document | {"members": [{"value": "stranger"}]})
        return answer

    stand_in.spoil = spoil
    report = await play()
    found = " ".join(divergence.why for divergence in report.divergences)

    assert "members missing" in found
    assert "too many: stranger" in found


async def test_duplicates_are_found(play: Play, stand_in: StandIn) -> None:
    """A server that cannot match makes Entra create everybody again (section 0, rule 3)."""
    document = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0, "startIndex": 1}

    def spoil(request: web.Request, answer: web.Response) -> web.Response:
        return reply(200, document | {"itemsPerPage": 0, "Resources": []}) if "filter" in request.query else answer

    stand_in.spoil = spoil
    report = await play("restart")

    assert not report.converged


async def test_no_server_is_unreachable() -> None:
    with pytest.raises(UnreachableError):
        await run_scenario(ScenarioRequest(url="http://127.0.0.1:9/scim", secret=SECRET))


async def test_report_is_readable_and_complete(play: Play) -> None:
    report = await play()
    document = report.as_document()

    assert {"scenario", "requests", "latency_ms", "incompatible", "converged", "writes_in_second_incremental"} <= set(document)
    assert "converged: yes" in report.as_text()
    assert SECRET not in report.as_text()
