"""Environment to one frozen Struct, read once at start; each room receives values from it, never the whole."""

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote, urlsplit

import msgspec

PREFIX = "ROLLHOUSE_"


class SettingsError(Exception):
    """The environment cannot be used; the message names the variable and its cure."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set from outside, as `ROLLHOUSE_<NAME>`; each also as `ROLLHOUSE_<NAME>_FILE` (a file that holds it)."""

    database_url: str | None = None
    """URL of Postgres as the role `rollhouse_app`. Default: the embedded server of `rollhouse dev` in the data dir."""
    migration_database_url: str | None = None
    """URL of Postgres as the role `rollhouse_migrator`, used by `rollhouse migrate` only."""
    database_password: str | None = None
    """Password of the role in ROLLHOUSE_DATABASE_URL, as it is: any character may be in it, none is escaped."""
    migration_database_password: str | None = None
    """The same for ROLLHOUSE_MIGRATION_DATABASE_URL."""
    redis_url: str | None = None
    """URL of the Redis that all processes share for rate limits. Default: limits are counted in this process."""
    redis_password: str | None = None
    """Password of the user in ROLLHOUSE_REDIS_URL, as it is."""
    public_url: str | None = None
    """The address under which identity providers reach the service, e.g. https://scim.example.com. All absolute URLs start with it."""
    peppers: str | None = None
    """Keys for the MACs of secrets as `version:key` pairs joined by commas; the first is used for new secrets."""
    trusted_proxies: str | None = None
    """Networks of the proxies in front of the service, such as 10.0.0.0/8: what they say in X-Forwarded-For is believed. Default: nobody."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    audit_key: str | None = None
    """Key that signs the seals of the audit, as base64url of 32 bytes; made by `rollhouse audit key`, used by `rollhouse worker`."""
    port: int = 8080
    """Port of SCIM and the health probes."""
    metrics_port: int = 9090
    """Port of /metrics."""
    worker_metrics_port: int = 9091
    """Port of /metrics of `rollhouse worker`."""
    data_dir: str = ".rollhouse"
    """Folder in which `rollhouse dev` keeps its server, its keys and its demo secret."""
    body_limit_bytes: int = 4 * 1024 * 1024
    """Largest request body, in bytes."""
    bulk_operations_limit: int = 100
    """Most operations in one bulk request."""
    bulk_body_limit_bytes: int = 1024 * 1024
    """Largest body of a bulk request, in bytes."""
    drain_seconds: int = 0
    """How long `rollhouse serve` goes on serving after SIGTERM: it is not ready any more, and every answer asks the client to connect anew elsewhere."""
    keep_alive_seconds: int = 10
    """After how long a connection without a request, or one whose headers do not end, is ended. Behind a proxy that keeps connections, make it longer
    than the proxy does, such as 75: else it sends a request into a connection that is just ending, now and then."""
    page_size_limit: int = 200
    """Most resources in one answer to a list request."""
    page_size_default: int = 100
    """Resources in one answer when the client names no count."""
    database_connections: int = 16
    """Connections to Postgres that one process keeps at most."""
    rate_per_second: int = 50
    """Sustained requests a second of one tenant that has no limit of its own; 0 means no limit."""
    burst: int = 200
    """Requests that a tenant may make at once after a pause."""
    oidc_issuer: str | None = None
    """Issuer of the platform's own OpenID provider, by which operators (and members of tenants without a provider of their own) sign in to the portal.
    Its host must be among ROLLHOUSE_FEDERATION_HOSTS."""
    oidc_client_id: str | None = None
    """Client id of the portal at that provider; its redirect URI is ROLLHOUSE_PUBLIC_URL + /signin/oidc/callback."""
    oidc_client_secret: str | None = None
    """Client secret of the portal at that provider; without one the client is public, with PKCE."""
    oidc_operators: str = ""
    """E-mail addresses of operators with commas: who signs in with one of them by the platform's provider is an operator."""
    smtp_url: str | None = None
    """Mail server for notices to tenants' administrators (secret ends, provisioning stalled or recovered), e.g. smtp://user:password@mail.example.com:587.
    `smtp` asks for TLS where the server offers it, `smtps` is TLS from the start. Default: no mails."""
    mail_from: str = "rollhouse@localhost"
    """Sender of the notices."""
    cycle_gap_seconds: int = 300
    """After how long a pause a request of an identity provider begins a new provisioning cycle."""
    request_log_days: int = 30
    """Days that the request log of tenants is kept."""
    log_format: Literal["json", "console"] = "json"
    """Form of the log on stderr: `json`, a line of JSON for each event, or `console`, words for people."""
    otlp_endpoint: str | None = None
    """Address of an OTLP receiver to which traces are sent by HTTP, e.g. http://otel-collector:4318. Default: no traces."""
    trace_one_in: int = 100
    """One request in so many is traced, beside those whose caller asks for it and those that fail by our fault; 0 means none but them."""
    federation_hosts: str = "login.microsoftonline.com,login.windows.net,sts.windows.net,login.microsoftonline.us,login.partner.microsoftonline.cn"
    """Hosts from which keys of federated clients may be fetched: names (https, port 443, public addresses) and origins (http://127.0.0.1:8400) with commas."""


_NAMES = {f"{PREFIX}{field.upper()}": field for field in Settings.__struct_fields__}
_MOST = 2**31 - 1
_BOUNDS = {
    "port": (1, 65535),
    "metrics_port": (1, 65535),
    "worker_metrics_port": (1, 65535),
    "body_limit_bytes": (1024, 256 * 1024 * 1024),
    "bulk_operations_limit": (1, 1000),
    "bulk_body_limit_bytes": (1024, 256 * 1024 * 1024),
    "page_size_limit": (1, 10_000),
    "page_size_default": (1, 10_000),
    "database_connections": (1, 1000),
    "burst": (1, _MOST),
    "drain_seconds": (0, 300),
    "keep_alive_seconds": (1, 3600),
    "cycle_gap_seconds": (1, 24 * 3600),
    "request_log_days": (1, 3650),
}
"""From and to which a number makes sense."""
_CHOICES: dict[str, tuple[str, ...]] = {"log_format": ("json", "console")}
"""What a word may be."""
_PASSWORDS = {"database_password": "database_url", "migration_database_password": "migration_database_url", "redis_password": "redis_url"}
"""Which URL a password belongs into."""
_ELSEWHERE = {f"{PREFIX}SCIM_SECRET", f"{PREFIX}OPERATOR_KEY"}
"""Variables that a single command, or the load tests, read by themselves."""


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that the environment describes; an unknown `ROLLHOUSE_*` name warns on stderr with the nearest known one.

    Raises:
        SettingsError: a value does not fit its setting, a `_FILE` cannot be read, or a password has no URL.
    """
    values: dict[str, str | int] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable in _ELSEWHERE:
            continue
        name = _NAMES.get(variable) or _NAMES.get(variable.removesuffix("_FILE"))
        if name is None:
            _warn(variable)
        elif variable in _NAMES:
            values[name] = _convert(variable, name, text)
        else:
            values.setdefault(name, _convert(variable, name, _read_file(variable, text)))
    for password, url in _PASSWORDS.items():
        if values.get(password):
            values[url] = _with_password(url, str(values.get(url, "")), str(values[password]))
    return Settings(**values)  # type: ignore[arg-type]


def _with_password(name: str, url: str, password: str) -> str:
    parts = urlsplit(url)
    if not parts.netloc:
        raise SettingsError(f"{PREFIX}{name.upper()} is not set or has no host, and a password was given for it.")
    role, _, hosts = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{role.partition(':')[0]}:{quote(password, safe='')}@{hosts}").geturl()


def _convert(variable: str, name: str, text: str) -> str | int:
    if int not in (Settings.__annotations__[name], *get_args(Settings.__annotations__[name])):
        choices = _CHOICES.get(name, (text,))
        if text not in choices:
            raise SettingsError(f"{variable} must be one of {', '.join(choices)}, not {text[:40]!r}.")
        return text
    least, most = _BOUNDS.get(name, (0, _MOST))
    if not text.isdecimal() or not least <= int(text[:20]) <= most:
        raise SettingsError(f"{variable} must be a whole number from {least} to {most}, not {text[:40]!r}.")
    return int(text)


def _read_file(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{variable} names {path}, which cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{variable} names {path}, which is no text in UTF-8.") from None


def _warn(variable: str) -> None:
    nearest = difflib.get_close_matches(variable, _NAMES, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else "."
    sys.stderr.write(f"warning: {variable} is not a setting of rollhouse{hint}\n")
