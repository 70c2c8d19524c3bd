"""Latencies are never flattered, measurements add up, and a verdict says what was not held."""

import json
from xml.etree import ElementTree as ET

import msgspec
import pytest
from loadtests.picture import draw_picture
from loadtests.plan import Plan, Seat
from loadtests.recording import Recorder, bucket_of, merge, percentile_ms
from loadtests.verdict import Measured, Verdict, judge


@pytest.mark.parametrize("seconds", [0.0, 0.00001, 0.0042, 0.0999, 0.2499, 0.25001, 3.3])
def test_a_bucket_is_never_shorter_than_the_latency_and_hardly_longer(seconds: float) -> None:
    assert seconds <= bucket_of(seconds) / 10_000 <= seconds * 1.01 + 0.0001


def test_a_percentile_is_that_of_the_nearest_rank() -> None:
    buckets = {10: 98, 2500: 1, 9000: 1}
    assert [percentile_ms(buckets, rank) for rank in (50, 98, 99, 100)] == [1.0, 1.0, 250.0, 900.0]
    assert percentile_ms({}, 99) == 0.0


def test_measurements_of_two_processes_add_up() -> None:
    parts = []
    for _ in range(2):
        recorder = Recorder()
        recorder.record("steady", "read_user", 0.005, status="200", failed=False, throttled=False)
        recorder.explain("read_user", "no  answer")
        parts.append(recorder.drain())
    total = merge(merge({}, parts[0]), parts[1])

    assert total["kinds"] == {"steady": {"read_user": {"took": {50: 2}, "statuses": {"200": 2}}}}
    assert total["reasons"] == {"read_user: no answer": 2}
    assert total["processes"] == 2


def verdict(profile: str, measured: dict[str, object], tenants: int = 2) -> Verdict:
    seats = [Seat(f"loadtest-{number:05d}", "http://127.0.0.1/t/x/scim/v2", "id", "the-secret") for number in range(tenants)]
    found = msgspec.json.decode(msgspec.json.encode(measured), type=Measured)
    return judge(Plan(profile, "http://127.0.0.1", 10, seats), found)


def moments(requests: int, took: int, **others: int) -> dict[int, object]:
    return {1_000: {"requests": requests, "took": {took: requests}, **others}}


def missed(found: Verdict) -> list[str]:
    return [condition.what for condition in found.conditions if not condition.met]


def test_a_run_that_held_everything_passes() -> None:
    found = verdict("certification", {"seconds": {"certified": moments(500, 2499)}, "tenants": {"certified": 2}, "due": {"certified": 500}})
    assert found.passed, found.conditions


@pytest.mark.parametrize(
    ("measured", "what"),
    [
        ({"seconds": {"certified": moments(500, 2500)}, "tenants": {"certified": 2}, "due": {"certified": 500}}, "certified: p99"),
        ({"seconds": {"certified": moments(500, 50, failed=1)}, "tenants": {"certified": 2}, "due": {"certified": 500}}, "certified: errors"),
        ({"seconds": {"certified": moments(480, 50)}, "tenants": {"certified": 2}, "due": {"certified": 500}}, "certified: sent of what was due"),
        ({"seconds": {"certified": moments(500, 50)}, "tenants": {"certified": 1}, "due": {"certified": 500}}, "certified: tenants that took part"),
    ],
)
def test_each_condition_fails_a_run_by_itself(measured: dict[str, object], what: str) -> None:
    assert missed(verdict("certification", measured)) == [what]


def test_a_run_that_measured_nothing_fails() -> None:
    assert not verdict("baseline", {}).passed


def test_the_offender_must_be_limited_and_its_latency_is_nobodys_business() -> None:
    calm = {"seconds": {"neighbours": moments(50, 50), "offender": moments(900, 9_000)}, "tenants": {"neighbours": 1, "offender": 1}, "due": {"neighbours": 50}}
    limited = calm | {"seconds": {"neighbours": moments(50, 50), "offender": moments(900, 9_000, throttled=700)}}

    assert missed(verdict("stress", calm)) == ["offender: requests answered with 429"]
    assert verdict("stress", limited).passed


def test_neighbours_are_shown_before_and_since_the_offender() -> None:
    second = {"requests": 1, "failed": 0}
    timeline = {1_000: second | {"took": {50: 1}}, 1_002: second | {"took": {80: 1}}}
    found = verdict("stress", {"seconds": {"neighbours": timeline, "offender": {1_001: second | {"took": {10: 1}}}}})

    assert found.apart() == {"neighbours": {"before_p99_ms": 5.0, "since_p99_ms": 8.0}}


def test_neither_the_document_nor_the_words_hold_a_secret() -> None:
    found = verdict("baseline", {"seconds": {"steady": moments(5, 50)}, "reasons": {"read_user: no answer": 3}})
    assert "the-secret" not in json.dumps(found.as_document()) + found.as_text() + repr(found.plan)


def test_the_picture_is_well_formed_with_and_without_a_load() -> None:
    full = {"seconds": {"neighbours": moments(50, 50), "offender": moments(900, 90, throttled=1)}}
    for measured, curves in ((full, 7), ({}, 1)):
        root = ET.fromstring(draw_picture(verdict("stress", measured).as_document()))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == curves
