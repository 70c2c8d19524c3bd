"""Where a request comes from: the peer of the connection, or what a proxy says that the operator has named as trusted."""

import ipaddress
from typing import Any

from rollhouse.http.answers import header

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_networks(text: str | None) -> tuple[Network, ...]:
    """The networks of a list such as `10.0.0.0/8,fd00::/8`.

    Raises:
        ValueError: one is no network; the message names it.
    """
    return tuple(ipaddress.ip_network(part.strip()) for part in (text or "").split(",") if part.strip())


def source_of(scope: Any, trusted: tuple[Network, ...]) -> str:
    """The nearest address that no trusted proxy answers for; anybody can write X-Forwarded-For, so nothing further is believed."""
    client = scope.get("client")
    source = str(client[0]) if client else "unknown"
    if not trusted:
        return source
    forwarded = header(scope, b"x-forwarded-for").decode("latin-1").split(",")
    while _is_trusted(source, trusted) and forwarded and (nearest := forwarded.pop().strip()):
        source = nearest
    return source


def _is_trusted(source: str, trusted: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return False
    return any(address in network for network in trusted)
