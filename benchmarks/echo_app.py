"""The floor: a raw ASGI application that answers every request with the same bytes."""

import os

BODY = os.environ.get("ECHO_BODY", "").encode()
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/scim+json"), (b"content-length", str(len(BODY)).encode())]}
END = {"type": "http.response.body", "body": BODY}


async def app(scope, receive, send) -> None:
    await send(START)
    await send(END)
