"""Requests whose end can be read in two ways, and clients that never end one (threat T49).

Behind an ingress a second reading would put a stranger's request in front of the next one on the same connection.
"""

import asyncio
import json
import time

import pytest

from tests.servers.service import ScimClient, Serving
from tests.threats.connection import PROBE, answers, talk

HIDDEN = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"
IN_CHUNKS = "\r\n2\r\n{}\r\n0\r\n\r\n"

REFUSED = {
    "a length and chunks, the length longer": f"content-length: {len(HIDDEN) + 5}\r\n{CHUNKED}\r\n0\r\n\r\n{HIDDEN}",
    "two lengths": f"content-length: 2\r\ncontent-length: {2 + len(HIDDEN)}\r\n\r\n{{}}{HIDDEN}",
    "two lengths in one header": f"content-length: 2, {2 + len(HIDDEN)}\r\n\r\n{{}}{HIDDEN}",
    "a length with a sign": f"content-length: +2\r\n\r\n{{}}{HIDDEN}",
    "a negative length": f"content-length: -2\r\n\r\n{{}}{HIDDEN}",
    "a hexadecimal length": f"content-length: 0x2\r\n\r\n{{}}{HIDDEN}",
    "an empty length": f"content-length:\r\n\r\n{{}}{HIDDEN}",
    "a length beyond 64 bits": f"content-length: 99999999999999999999\r\n\r\n{{}}{HIDDEN}",
    "a blank before the colon": f"transfer-encoding : chunked\r\ncontent-length: 2\r\n\r\n{{}}{HIDDEN}",
    "a blank in a name": f"content length: 2\r\n\r\n{{}}{HIDDEN}",
    "an unknown transfer encoding": f"transfer-encoding: xchunked\r\ncontent-length: 2\r\n\r\n{{}}{HIDDEN}",
    "the identity encoding": f"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{{}}{HIDDEN}",
    "chunks that are not the last encoding": f"transfer-encoding: chunked, identity\r\n{IN_CHUNKS}{HIDDEN}",
    "two transfer encodings": f"{CHUNKED}transfer-encoding: identity\r\n{IN_CHUNKS}{HIDDEN}",
    "a chunk size that is no number": f"{CHUNKED}\r\nzz\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk size with 0x": f"{CHUNKED}\r\n0x2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a negative chunk size": f"{CHUNKED}\r\n-2\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk size beyond 64 bits": f"{CHUNKED}\r\nffffffffffffffffff\r\n{{}}\r\n0\r\n\r\n{HIDDEN}",
    "a chunk longer than its size": f"{CHUNKED}\r\n2\r\n{{}}X0\r\n\r\n{HIDDEN}",
    "chunks with bare line feeds": f"{CHUNKED}\r\n2\n{{}}\n0\n\n{HIDDEN}",
    "a folded header": f"x: a\r\n {CHUNKED}content-length: 2\r\n\r\n{{}}{HIDDEN}",
    "a NUL in a header": f"x: a\0b\r\ncontent-length: 2\r\n\r\n{{}}{HIDDEN}",
    "a bare carriage return in a header": f"x: a\r{CHUNKED}content-length: 2\r\n\r\n{{}}{HIDDEN}",
    "a header of a million bytes": f"x: {'a' * 1_000_000}\r\ncontent-length: 2\r\n\r\n{{}}{HIDDEN}",
    "two thousand headers": "".join(f"x{number}: a\r\n" for number in range(2000)) + f"content-length: 2\r\n\r\n{{}}{HIDDEN}",
}
"""What follows the request line and the Authorization of a search, by what is wrong with it."""


def search(client: ScimClient, rest: str, version: str = "1.1") -> bytes:
    path = "/t/" + client.base_url.partition("/t/")[2]
    return f"POST {path}/.search HTTP/{version}\r\nhost: x\r\nauthorization: Bearer {client.secret}\r\n{rest}".encode("latin-1")


@pytest.mark.threat("T49")
@pytest.mark.parametrize("rest", REFUSED.values(), ids=REFUSED)
async def test_a_request_whose_end_is_in_doubt_is_refused_and_ends_the_connection(acme: ScimClient, service: Serving, rest: str) -> None:
    found = answers(await talk(service.port, search(acme, rest) + PROBE))

    assert [status in (400, 413, 431) for status, _, _ in found] == [True]


@pytest.mark.threat("T49")
async def test_nothing_is_read_behind_chunks_that_also_have_a_length(acme: ScimClient, service: Serving) -> None:
    """RFC 9112 section 6.1: the chunks may count, but the connection ends with the answer."""
    found = answers(await talk(service.port, search(acme, f"{CHUNKED}content-length: 3\r\n{IN_CHUNKS}") + HIDDEN.encode() + PROBE))

    assert len(found) == 1
    assert found[0][0] in (200, 400)


@pytest.mark.threat("T49")
async def test_a_length_beside_chunks_cuts_nothing_off(acme: ScimClient, service: Serving) -> None:
    """A body whose announced length has arrived is taken for whole (http/edge.py): the server must not hand such a length on."""
    chunks = '\r\n\r\n5\r\n{"cou\r\n6\r\nnt":0}\r\n0\r\n\r\n'
    for headers in (f"{CHUNKED}content-length: 3", f"content-length: 3\r\n{CHUNKED[:-2]}"):
        found = answers(await talk(service.port, search(acme, headers + chunks)))

        assert [status for status, _, _ in found] == [200], headers
        assert json.loads(found[0][2])["itemsPerPage"] == 0


@pytest.mark.threat("T49")
async def test_chunks_are_unknown_to_http_1_0(acme: ScimClient, service: Serving) -> None:
    found = answers(await talk(service.port, search(acme, CHUNKED + IN_CHUNKS, version="1.0") + HIDDEN.encode() + PROBE))

    assert [status for status, _, _ in found] == [400]


@pytest.mark.threat("T49")
async def test_the_body_of_a_get_is_no_request(acme: ScimClient, service: Serving) -> None:
    path = "/t/" + acme.base_url.partition("/t/")[2]
    get = f"GET {path}/Users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {acme.secret}\r\ncontent-length: {len(HIDDEN)}\r\n\r\n{HIDDEN}".encode()

    found = answers(await talk(service.port, get + PROBE))

    assert [status for status, _, _ in found] == [200, 200]
    assert b'"totalResults":0' in found[0][2]
    assert b'"status":"ok"' in found[1][2]


@pytest.mark.threat("T49")
@pytest.mark.parametrize("refused", ["secret", "endpoint", "size"])
async def test_the_body_of_a_refused_request_is_never_the_next_request(acme: ScimClient, service: Serving, refused: str) -> None:
    """The service answers before it has read the body: what it left unread must not be taken for a request."""
    path = "/t/" + acme.base_url.partition("/t/")[2] + ("/Nothing" if refused == "endpoint" else "/Users")
    secret = "wrong" if refused == "secret" else acme.secret
    body = HIDDEN.encode() * (150_000 if refused == "size" else 3000)
    post = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-length: {len(body)}\r\n\r\n".encode()

    found = answers(await talk(service.port, post, body, PROBE))

    assert found[0][0] == {"secret": 401, "endpoint": 404, "size": 413}[refused]
    assert all(b'"status":"ok"' in rest for _, _, rest in found[1:])
    assert len(found) <= 2


@pytest.mark.threat("T49")
@pytest.mark.parametrize("refused", ["secret", "endpoint"])
@pytest.mark.parametrize("is_late", [True, False])
async def test_a_small_body_of_a_refused_request_is_read_and_the_next_one_answered(acme: ScimClient, service: Serving, refused: str, is_late: bool) -> None:
    """Whether it came with its request, and was read before that was refused, or behind it."""
    path = "/t/" + acme.base_url.partition("/t/")[2] + ("/Nothing" if refused == "endpoint" else "/Users")
    secret = "wrong" if refused == "secret" else acme.secret
    body = HIDDEN.encode()
    post = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(post + (b"" if is_late else body + PROBE))
    if is_late:
        await asyncio.sleep(0.3)
        writer.write(body + PROBE)

    found = answers(await asyncio.wait_for(reader.read(), 30))
    writer.close()

    assert [status for status, _, _ in found] == [{"secret": 401, "endpoint": 404}[refused], 200]
    assert b'"status":"ok"' in found[1][2]


@pytest.mark.threat("T49")
@pytest.mark.parametrize("is_right", [True, False])
async def test_who_asks_whether_to_go_on_is_told_so_with_a_right_secret_alone(acme: ScimClient, service: Serving, is_right: bool) -> None:
    path = "/t/" + acme.base_url.partition("/t/")[2] + "/Users"
    body = b'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"expected"}'
    secret = acme.secret if is_right else "wrong"
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {secret}\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n".encode())

    first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    if is_right:
        assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    writer.close()

    assert first.startswith(b"HTTP/1.1 201 " if is_right else b"HTTP/1.1 401 ")


@pytest.mark.threat("T49")
async def test_requests_in_a_row_are_answered_in_their_order_and_by_their_own_secret(acme: ScimClient, globex: ScimClient, service: Serving) -> None:
    """Two tenants' requests on one connection, as an ingress sends them."""
    await acme.create_user(userName="of-acme")
    await globex.create_user(userName="of-globex")
    asked = b"".join(search(client, "content-length: 2\r\n\r\n{}") for client in (acme, globex) * 20)

    found = answers(await talk(service.port, asked + PROBE))

    assert [b"of-acme" in body and b"of-globex" not in body for _, _, body in found[:40:2]] == [True] * 20
    assert [b"of-globex" in body and b"of-acme" not in body for _, _, body in found[1:40:2]] == [True] * 20


@pytest.mark.threat("T49")
async def test_two_hundred_clients_that_never_end_their_headers_are_sent_away_and_hold_up_nobody(acme: ScimClient, service: Serving) -> None:
    """Each keeps a connection for ten seconds and no worker at all."""
    started = time.monotonic()
    slow = [asyncio.create_task(talk(service.port, b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ")) for _ in range(200)]

    statuses = {(await acme.get("/Users")).status_code for _ in range(20)}
    received = await asyncio.gather(*slow)

    assert statuses == {200}
    assert {answers(one)[0][0] if one else 408 for one in received} == {408}
    assert time.monotonic() - started < 25  # ten seconds, and room for a busy machine


@pytest.mark.threat("T49")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "TRACK", "BREW", "POSTX"])
async def test_a_method_that_scim_does_not_have_reaches_nothing(acme: ScimClient, service: Serving, method: str) -> None:
    """TRACE would show a secret to whoever can make a browser send it."""
    path = "/t/" + acme.base_url.partition("/t/")[2]
    raw = f"{method} {path}/Users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {acme.secret}\r\n\r\n".encode()

    found = answers(await talk(service.port, raw + PROBE))

    assert found[0][0] in (400, 404, 405, 501)
    assert acme.secret.encode() not in found[0][2]
