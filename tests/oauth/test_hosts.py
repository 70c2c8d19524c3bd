"""Where the service fetches keys from, and everywhere that it does not (threat T33)."""

import asyncio
import itertools
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rollhouse.http.service import Service
from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import InvalidValue, Unavailable
from rollhouse.settings import Settings, SettingsError
from rollhouse.tenancy import oauth
from rollhouse.tenancy.federation import KeyHosts, KeySets, Trust, _PublicResolver, require_public
from rollhouse.tenancy.secrets import new_pepper
from tests.oauth.issuer import AUDIENCE, ISSUER, SUBJECT, Issuer

PATH = "/tenant/discovery/v2.0/keys"
ALLOWED = KeyHosts.parse(Settings().federation_hosts)
REFUSED = [
    "",
    "login.microsoftonline.com",
    f"//login.microsoftonline.com{PATH}",
    f"http://login.microsoftonline.com{PATH}",
    f"ftp://login.microsoftonline.com{PATH}",
    "file:///etc/passwd",
    f"https://login.microsoftonline.com:8443{PATH}",
    f"https://login.microsoftonline.com:{PATH}",
    f"https://login.microsoftonline.com.{PATH}",
    f"https://login.microsoftonline.com.evil.example{PATH}",
    f"https://evil.example{PATH}",
    "https://evil.example/login.microsoftonline.com",
    "https://evil.example?login.microsoftonline.com/",
    "https://evil.example#login.microsoftonline.com/",
    f"https://login.microsoftonline.com@evil.example{PATH}",
    f"https://evil.example@login.microsoftonline.com{PATH}",
    f"https://user:password@login.microsoftonline.com{PATH}",
    f"https://login.microsoftonline.com:443@169.254.169.254{PATH}",
    f"https://login.microsoftonline.com%2f@127.0.0.1{PATH}",
    f"https://127.0.0.1\\@login.microsoftonline.com{PATH}",
    f"https://login.microsoftonline.com\\.evil.example{PATH}",
    f"https://login.microsoftonline.com{PATH}#@evil.example",
    f"https://login.microsoftonline.com{PATH}\r\nHost: evil.example",
    f"https://login.microsoftonline.com{PATH}\n",
    f" https://login.microsoftonline.com{PATH}",
    f"https://login.microsoftonline.com\t{PATH}",
    f"https://login.microsoftonline.com\u3002evil.example{PATH}",
    f"https://\uff4cogin.microsoftonline.com{PATH}",
    f"https://127.0.0.1{PATH}",
    f"https://0x7f.1{PATH}",
    f"https://0177.0.0.1{PATH}",
    f"https://2130706433{PATH}",
    f"https://127.1{PATH}",
    f"https://0{PATH}",
    f"https://localhost{PATH}",
    f"https://[::1]{PATH}",
    f"https://[::ffff:7f00:1]{PATH}",
    f"https://[::ffff:127.0.0.1]{PATH}",
    f"https://[fe80::1%25eth0]{PATH}",
    f"https://169.254.169.254{PATH}",
    "http://169.254.169.254/latest/meta-data/",
    f"https://10.0.0.1{PATH}",
    f"https://100.64.0.1{PATH}",
    f"https://metadata.google.internal{PATH}",
    f"https://login.microsoftonline.com/{'x' * 500}",
]


@pytest.mark.threat("T33")
@pytest.mark.parametrize("url", REFUSED)
async def test_a_client_with_such_a_key_url_is_refused_and_nothing_is_fetched(database, tenant, url: str) -> None:
    trust = Trust(issuer=ISSUER, jwks_url=url, subject=SUBJECT, audience=AUDIENCE)

    with pytest.raises(InvalidValue, match="ROLLHOUSE_FEDERATION_HOSTS"):
        await oauth.create_client(database, tenant, kind="federated", hosts=ALLOWED, trust=trust, cause=UNATTENDED)
    with pytest.raises(Unavailable):
        await KeySets(ALLOWED).key_of(url, "first")

    assert await oauth.list_clients(database, tenant) == []


@pytest.mark.parametrize(
    "url",
    [
        f"https://login.microsoftonline.com{PATH}",
        f"https://login.microsoftonline.com:443{PATH}",
        f"https://LOGIN.windows.net{PATH}?appid=89abcdef-0123-4567-89ab-cdef01234567",
        f"https://login.microsoftonline.us{PATH}",
        f"https://login.partner.microsoftonline.cn{PATH}",
    ],
)
def test_microsofts_hosts_are_allowed_and_must_have_public_addresses(url: str) -> None:
    assert not ALLOWED.is_named_by_origin(url)


def test_an_origin_allows_exactly_itself() -> None:
    hosts = KeyHosts.parse("http://127.0.0.1:8400, https://idp.corp.example:443")

    assert hosts.is_named_by_origin("http://127.0.0.1:8400/keys")
    assert hosts.is_named_by_origin("https://idp.corp.example/keys")
    for url in ("http://127.0.0.1:8401/keys", "https://127.0.0.1:8400/keys", "http://127.0.0.1/keys", "http://idp.corp.example:443/keys"):
        with pytest.raises(InvalidValue):
            hosts.is_named_by_origin(url)


@pytest.mark.parametrize(
    "text", ["localhost", "https://host/path", "ftp://host", "a b.example", "*.example.com", "user@idp.example", "127.0.0.1", "0x7f.1", "1.0x7f", "[::1]"]
)
def test_an_entry_that_is_neither_name_nor_origin_is_told_at_start(text: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an origin"):
        KeyHosts.parse(text)


def test_a_service_with_such_an_entry_does_not_start() -> None:
    settings = Settings(database_url="postgresql://nobody@/none", peppers=new_pepper(), public_url="https://scim.example", federation_hosts="https://host/path")

    with pytest.raises(SettingsError, match="ROLLHOUSE_FEDERATION_HOSTS"):
        Service(settings)


@pytest.mark.threat("T33")
async def test_a_name_that_leads_into_the_own_network_is_not_connected_to() -> None:
    """A name of the list whose DNS answers 127.0.0.1: what was checked is what is connected to, so rebinding gains nothing."""
    with pytest.raises(OSError, match="not public"):
        await _PublicResolver().resolve("localhost", 443)


@pytest.mark.threat("T33")
async def test_a_connection_into_the_own_network_is_never_begun(issuer: Issuer) -> None:
    url = issuer.publish(issuer.key).replace("127.0.0.1", "localhost")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_PublicResolver())) as session:
        with pytest.raises(aiohttp.ClientConnectorDNSError) as caught:
            await session.get(url)

    assert "not public" in str(caught.value.os_error)
    assert url.removeprefix(f"http://localhost:{issuer.port}") not in issuer.fetches


@pytest.mark.threat("T33")
async def test_a_name_that_changes_its_address_between_look_and_connection_gains_nothing(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the first answer is public, every later one leads inside. The connection goes to what was looked at."""
    url = issuer.publish(issuer.key)
    host = "keys.idp.example"
    asked: list[str] = []
    connected: list[str] = []
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def rebinding(name: Any, port: Any, **keywords: Any) -> Any:
        asked.append(name)
        return await resolve("20.190.128.1" if len(asked) == 1 else "127.0.0.1", port, **keywords)

    async def connect(addr_infos: Any, **_: Any) -> Any:
        connected.append(addr_infos[0][4][0])
        raise OSError("this test reaches no public address")

    monkeypatch.setattr(loop, "getaddrinfo", rebinding)
    monkeypatch.setattr(aiohttp.connector.aiohappyeyeballs, "start_connection", connect)
    sets = KeySets(KeyHosts.parse(host), clock=itertools.count(0, 100).__next__)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await sets.key_of(f"https://{host}/keys", "first")

    assert asked == [host] * 3
    assert connected == ["20.190.128.1"], "only the look that found a public address was followed by a connection, and to that address"
    assert issuer.path_of(url) not in issuer.fetches


@pytest.mark.threat("T33")
@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:7f00:1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_a_private_address_is_refused(address: str) -> None:
    with pytest.raises(OSError, match="not public"):
        require_public(["20.190.128.1", address])


def test_a_public_address_is_let_through() -> None:
    require_public(["20.190.128.1", "2603:1006:2000::1", "::ffff:20.190.128.1", "64:ff9b::14be:8001"])


@pytest.mark.threat("T33")
async def test_a_redirect_is_not_followed(issuer: Issuer, hosts: KeyHosts) -> None:
    elsewhere = Issuer()
    await elsewhere.start()
    target = elsewhere.publish(elsewhere.key)
    url = issuer.publish(issuer.key)
    issuer.sets[issuer.path_of(url)] = lambda: web.Response(status=307, headers={"location": target})

    with pytest.raises(Unavailable):
        await KeySets(hosts).key_of(url, "first")

    await elsewhere.stop()
    assert elsewhere.fetches == {}


@pytest.mark.threat("T33")
async def test_a_host_that_is_no_longer_allowed_is_not_fetched_from(issuer: Issuer) -> None:
    """The list is asked at each fetch, too: a client may be older than the list."""
    url = issuer.publish(issuer.key)

    with pytest.raises(Unavailable):
        await KeySets(ALLOWED).key_of(url, "first")

    assert issuer.path_of(url) not in issuer.fetches
