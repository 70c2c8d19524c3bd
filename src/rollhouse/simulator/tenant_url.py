"""The tenant URL as an administrator pastes it, and the request URLs that Entra makes of it (section 2)."""

from dataclasses import dataclass
from urllib.parse import quote_plus, urlsplit

from yarl import URL

from rollhouse.simulator.profile import FlagPropagation

FLAG = "aadOptscim062020"
"""The query parameter that switches a job to the RFC-conformant PATCH dialect (section 2.1)."""

UNESCAPED = "!*()"
"""Characters that .NET's form encoding leaves alone besides letters, digits and `-_.`."""


@dataclass(frozen=True, slots=True)
class TenantUrl:
    """A pasted tenant URL in parts; `flagged` says that it carries the flag."""

    origin: str
    path: str
    flagged: bool

    def request_url(self, path: str, query: tuple[tuple[str, str], ...], propagation: FlagPropagation | None) -> URL:
        """The exact URL of a request; propagation None means that the job has no flag.

        A tenant URL that ends with a slash yields a double slash: the path is appended as it is (section 2).
        """
        parts = [f"{name}={form_encode(value)}" for name, value in query]
        if propagation == "bare":
            parts.insert(0, FLAG)
        elif propagation == "equals":
            parts.append(f"{FLAG}=")
        text = "&".join(parts)
        return URL(f"{self.origin}{self.path}{path}{'?' + text if text else ''}", encoded=True)


def parse_tenant_url(text: str) -> TenantUrl:
    """The parts of a tenant URL.

    Raises:
        ValueError: it is not an absolute http or https URL, carries credentials, or has an impossible port.

    """
    parts = urlsplit(text.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "the tenant URL must be absolute and start with http:// or https://"
        raise ValueError(message)
    if parts.username is not None:
        message = "the tenant URL must not carry credentials"
        raise ValueError(message)
    if parts.port == 0:
        message = "the tenant URL must not use port 0"
        raise ValueError(message)
    names = {part.partition("=")[0].casefold() for part in parts.query.split("&")}
    path = "" if parts.path == "/" else parts.path
    return TenantUrl(f"{parts.scheme}://{parts.netloc}", path, FLAG.casefold() in names)


def form_encode(value: str) -> str:
    """A query value in form style: space as `+`, escapes in lower-case hex as .NET writes them."""
    encoded = quote_plus(value, safe=UNESCAPED)
    pieces = encoded.split("%")
    return pieces[0] + "".join(f"%{piece[:2].lower()}{piece[2:]}" for piece in pieces[1:])
