"""Wrong secrets are counted by where they come from, which nobody chooses by a header (threat T37)."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from rollhouse.database.pool import Database
from rollhouse.http.sources import read_networks, source_of
from rollhouse.limits.failures import OF_ONE_SOURCE, FailedAuthentications, network_of
from rollhouse.scim.errors import TooManyRequests
from tests.conftest import PEPPER, Cluster, new_client
from tests.servers.service import ScimClient, Serving

PROXY = "127.0.0.2"
AT_ONCE = 50


def scope(peer: str, *forwarded: str) -> dict[str, object]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded]}


@pytest.mark.threat("T37")
@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "source"),
    [
        (None, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.0/8", "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8,fd00::/8", "fd00::1", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_a_source_is_the_nearest_address_that_no_trusted_proxy_answers_for(trusted: str | None, peer: str, forwarded: str, source: str) -> None:
    assert source_of(scope(peer, forwarded), read_networks(trusted)) == source


@pytest.mark.threat("T37")
async def test_the_addresses_of_one_ipv6_network_share_a_bucket() -> None:
    failures = FailedAuthentications()
    for number in range(OF_ONE_SOURCE.burst):
        await failures.note(None, f"2001:db8:0:1::{number:x}")

    refused = 0
    for number in range(200):
        try:
            await failures.note(None, f"2001:db8:0:1:ffff::{number:x}")
        except TooManyRequests as error:
            refused += error.retry_after_seconds == 1
    assert refused > 100
    await failures.note(None, "2001:db8:0:2::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") != network_of("192.0.2.2")


@pytest.fixture(scope="module")
def behind_a_proxy(embedded_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service that believes one neighbour, whatever it says in X-Forwarded-For."""
    settings = {"ROLLHOUSE_DATABASE_URL": embedded_cluster.app_url, "ROLLHOUSE_PEPPERS": PEPPER, "ROLLHOUSE_TRUSTED_PROXIES": f"{PROXY}/32"}
    serving = Serving(tmp_path_factory.mktemp("proxied") / "service.log", settings)
    serving.start()
    yield serving
    assert serving.stop() == 0


@pytest.fixture
async def client(behind_a_proxy: Serving, service_database: Database) -> AsyncIterator[ScimClient]:
    made = await new_client(behind_a_proxy, service_database)
    yield made
    await made.close()


async def fail(client: ScimClient, peer: str, sources: list[str]) -> list[int]:
    """The statuses of requests with a wrong secret from `peer`, each with its X-Forwarded-For; in a row on one connection."""
    url = httpx.URL(client.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port, local_addr=(peer, 0))
    statuses: list[int] = []
    for first in range(0, len(sources), AT_ONCE):
        batch = sources[first : first + AT_ONCE]
        for source in batch:
            head = f"GET {url.path}/Users HTTP/1.1\r\nHost: {url.host}\r\nAuthorization: Bearer wrong\r\nX-Forwarded-For: {source}\r\n\r\n"
            writer.write(head.encode())
        for _ in batch:
            answer = await reader.readuntil(b"\r\n\r\n")
            statuses.append(int(answer.split()[1]))
            length = next(line for line in answer.lower().splitlines() if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    await writer.wait_closed()
    return statuses


def addresses(count: int) -> list[str]:
    return [f"198.18.{number // 250}.{number % 250}" for number in range(count)]


@pytest.mark.threat("T37")
async def test_spoofed_headers_change_nothing_and_a_right_secret_passes_after_ten_thousand_wrong_ones(client: ScimClient) -> None:
    """Ten thousand addresses in a header that nobody vouches for are one source; and the source is no reason to refuse a right secret."""
    rows = await asyncio.gather(*(fail(client, "127.0.0.1", addresses(2500)) for _ in range(4)))

    assert {status for row in rows for status in row} == {401, 429}
    assert sum(row.count(401) for row in rows) < 5000
    assert (await client.get("/Users")).status_code == 200


@pytest.mark.threat("T37")
async def test_what_a_trusted_proxy_says_is_counted_by_the_address_it_names(client: ScimClient) -> None:
    """One client behind it that fails without end is refused, whatever it wrote into the header itself, and its neighbours are not."""
    rows = await asyncio.gather(*(fail(client, PROXY, [f"{spoofed}, 203.0.113.9" for spoofed in addresses(700)]) for _ in range(4)))

    assert {status for row in rows for status in row} == {401, 429}
    assert set(await fail(client, PROXY, addresses(50))) == {401}
