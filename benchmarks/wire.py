"""The leanest HTTP client: one keep-alive connection, requests prepared as bytes, so that the server's cost is what is measured."""

import asyncio
import time

NO_CONTENT = 204


class Connection:
    """One connection to a server on loopback."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)

    async def open(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def send(self, request: bytes) -> tuple[int, bytes, float]:
        """Status, body and seconds from the first byte out to the last byte in."""
        started = time.perf_counter()
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = 0
        for line in head.split(b"\r\n"):
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
            elif line[:18].lower() == b"transfer-encoding:" and status != NO_CONTENT:
                return status, await self._chunks(), time.perf_counter() - started
        body = await self._reader.readexactly(length) if length else b""
        return status, body, time.perf_counter() - started

    async def _chunks(self) -> bytes:
        """A body in chunks (RFC 9112 section 7.1), of a server that does not tell its length."""
        parts = []
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            parts.append((await self._reader.readexactly(size + 2))[:-2])
        await self._reader.readexactly(2)
        return b"".join(parts)

    def close(self) -> None:
        self._writer.close()


def prepare(method: str, path: str, secret: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {secret}\r\ncontent-type: application/scim+json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
