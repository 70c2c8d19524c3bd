"""A bare connection to the service: bytes out, every answer in, as no well-bred HTTP client would send them."""

import asyncio

import h11

PROBE = b"GET /livez HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n"
"""A last request behind another one; it is answered with 200 unless the connection has been closed, and closes it."""
SECONDS = 30.0


async def talk(port: int, *parts: bytes) -> bytes:
    """What the service sends until it closes the connection; a service that closes early is no error."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            for part in parts:
                writer.write(part)
                await writer.drain()
            while part := await reader.read(65536):
                received += part
    except ConnectionError:  # closed while the rest was being written
        pass
    finally:
        writer.close()
    return bytes(received)


def answers(received: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Status, headers and body of every answer on a connection, interim ones left out."""
    found = []
    while received:
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(received)
        status, headers, body = 0, {}, b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            assert event is not h11.NEED_DATA, f"an answer was cut off: {received!r}"
            if isinstance(event, h11.Response):
                status, headers = event.status_code, {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        found.append((status, headers, body))
        received = connection.trailing_data[0]
    return found
