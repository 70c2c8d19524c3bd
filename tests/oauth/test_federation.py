"""Workload identity federation: which assertions of a real issuer stand for a client, and what its key server's outage does."""

import base64
import hmac
import json
import time
import uuid
from typing import Any

import pytest
from aiohttp import web
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey, RSAKey

from rollhouse.journal.audit import UNATTENDED
from rollhouse.scim.errors import Unauthorized, Unavailable
from rollhouse.tenancy import oauth
from rollhouse.tenancy.federation import KEPT_SECONDS, KEYS_BYTES_LIMIT, MOST_URLS, PAUSE_SECONDS, KeyHosts, KeySets
from tests.oauth.conftest import Party
from tests.oauth.issuer import AUDIENCE, ENTRA_TENANT, SUBJECT, Issuer, claims, sign

OTHER_TENANT = "99999999-2222-4333-8444-555555555555"
MICROSOFT = "https://login.microsoftonline.com"


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_assertion_gets_a_token_that_opens_scim(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    """RFC 7523 section 2.2, in the form that Microsoft documents."""
    client = await party.federate(hosts, issuer.publish(issuer.key))

    response = await party.assert_with(client, sign(issuer.key))

    assert response.status_code == 200, response.text
    assert response.json()["expires_in"] == 3600
    assert (await party.users(response.json()["access_token"])).status_code == 200


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_rsa_signatures_of_both_kinds_are_taken(party: Party, issuer: Issuer, hosts: KeyHosts, algorithm: str) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key))

    assert (await party.assert_with(client, sign(issuer.key, algorithm=algorithm))).status_code == 200


async def test_a_curve_signature_is_taken_beside_other_keys(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key, issuer.curve_key))

    assert (await party.assert_with(client, sign(issuer.curve_key, algorithm="ES256"))).status_code == 200


@pytest.mark.parametrize(
    "spelling",
    [
        f"{MICROSOFT}/{ENTRA_TENANT}/v2.0",
        f"{MICROSOFT}/{ENTRA_TENANT}/v2.0/",
        f"{MICROSOFT}/{ENTRA_TENANT}/",
        f"{MICROSOFT}/{ENTRA_TENANT}",
        f"https://login.windows.net/{ENTRA_TENANT}/v2.0",
        f"https://sts.windows.net/{ENTRA_TENANT}/",
    ],
)
async def test_every_spelling_of_the_issuer_in_microsofts_documents_is_taken(party: Party, issuer: Issuer, hosts: KeyHosts, spelling: str) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key))

    assert (await party.assert_with(client, sign(issuer.key, {"iss": spelling}))).status_code == 200


@pytest.mark.parametrize("spelling", [AUDIENCE, AUDIENCE.removeprefix("api://"), f"{AUDIENCE}/.default", [AUDIENCE]])
@pytest.mark.parametrize("configured", [AUDIENCE, AUDIENCE.removeprefix("api://"), f"{AUDIENCE}/.default"])
async def test_every_spelling_of_the_audience_in_microsofts_documents_is_taken(
    party: Party, issuer: Issuer, hosts: KeyHosts, configured: str, spelling: Any
) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key), audience=configured)

    assert (await party.assert_with(client, sign(issuer.key, {"aud": spelling}))).status_code == 200


async def test_another_issuer_than_microsoft_is_compared_to_the_letter(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key), issuer="https://idp.example.com")

    assert (await party.assert_with(client, sign(issuer.key, {"iss": "https://idp.example.com", "tid": None}))).status_code == 200
    assert (await party.assert_with(client, sign(issuer.key, {"iss": "https://idp.example.com/"}))).status_code == 401


def wrong_claims() -> dict[str, dict[str, Any]]:
    now = int(time.time())
    return {
        "foreign tid": {"tid": OTHER_TENANT},
        "no tid": {"tid": None},
        "foreign tenant in iss": {"iss": f"{MICROSOFT}/{OTHER_TENANT}/v2.0"},
        "another host": {"iss": f"https://login.microsoftonline.com.evil.example/{ENTRA_TENANT}/v2.0"},
        "another cloud": {"iss": f"https://login.microsoftonline.us/{ENTRA_TENANT}/v2.0"},
        "another path": {"iss": f"{MICROSOFT}/{ENTRA_TENANT}/v2.0/x"},
        "plain http": {"iss": f"http://login.microsoftonline.com/{ENTRA_TENANT}/v2.0"},
        "no iss": {"iss": None},
        "iss in a list": {"iss": [f"{MICROSOFT}/{ENTRA_TENANT}/v2.0"]},
        "another sub": {"sub": str(uuid.uuid4())},
        "sub in capitals": {"sub": SUBJECT.upper()},
        "no sub": {"sub": None},
        "another aud": {"aud": "api://another"},
        "no aud": {"aud": None},
        "two auds": {"aud": [AUDIENCE, "api://another"]},
        "no aud in the list": {"aud": []},
        "aud as a number": {"aud": 7},
        "expired": {"exp": now - 61},
        "no exp": {"exp": None},
        "exp as text": {"exp": str(now + 60)},
        "exp too far": {"exp": now + 6 * 3600 + 120},
        "exp is infinite": {"exp": float("inf")},
        "exp is no number": {"exp": float("nan")},
        "nbf in the future": {"nbf": now + 120},
        "iat in the future": {"iat": now + 120},
        "nbf as text": {"nbf": "now"},
    }


@pytest.mark.threat("T41")
@pytest.mark.parametrize("name", wrong_claims())
async def test_an_assertion_with_wrong_claims_stands_for_nobody(party: Party, issuer: Issuer, hosts: KeyHosts, name: str) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key))

    response = await party.assert_with(client, sign(issuer.key, wrong_claims()[name]))

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert (await party.assert_with(client, sign(issuer.key))).status_code == 200


async def test_a_minute_of_skew_is_forgiven(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key))
    now = int(time.time())

    assert (await party.assert_with(client, sign(issuer.key, {"exp": now - 30}))).status_code == 200
    assert (await party.assert_with(client, sign(issuer.key, {"nbf": now + 30, "iat": now + 30}))).status_code == 200


def forged(issuer: Issuer) -> dict[str, str]:
    """Assertions with the right claims and a wrong proof, by what is wrong."""
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    header, payload, signature = sign(issuer.key).split(".")
    changed = encoded(claims(oid="x"))
    nested = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"first","x":' + b"[" * 3000 + b"]" * 3000 + b"}").decode().rstrip("=")
    return {
        "alg none": f"{encoded({'alg': 'none', 'kid': 'first'})}.{payload}.",
        "alg None": f"{encoded({'alg': 'None', 'kid': 'first'})}.{payload}.{signature}",
        "HS256 with the public key": signed_with_public_key(issuer),
        "another algorithm": sign(issuer.key, algorithm="RS384"),
        "an algorithm of the other kind of key": f"{encoded({'alg': 'ES256', 'kid': 'first'})}.{payload}.{signature}",
        "no alg": f"{encoded({'kid': 'first'})}.{payload}.{signature}",
        "a stranger's key": sign(stranger),
        "a stranger's key in jwk": sign(stranger, jwk=stranger.as_dict(private=False)),
        "a stranger's key behind jku": sign(stranger, jku=issuer.publish(stranger)),
        "a stranger's key behind x5u": sign(stranger, x5u=issuer.publish(stranger)),
        "no kid": sign(issuer.key, kid=None),
        "kid as a number": f"{encoded({'alg': 'RS256', 'kid': 7})}.{payload}.{signature}",
        "crit": f"{encoded({'alg': 'RS256', 'kid': 'first', 'crit': ['exp'], 'exp': 1})}.{payload}.{signature}",
        "crit and b64": f"{encoded({'alg': 'RS256', 'kid': 'first', 'crit': ['b64'], 'b64': False})}.{payload}.{signature}",
        "signed crit": sign(issuer.key, crit=["b64"], b64=True),
        "another payload": f"{header}.{changed}.{signature}",
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "header is a list": f"{encoded(['alg', 'kid'])}.{payload}.{signature}",
        "header is deep": f"{nested}.{payload}.{signature}",
        "no text": "...",
        "not ASCII": f"{header}.{payload}.é",
        "too long": sign(issuer.key, {"groups": ["g" * 8192]}),
    }


def signed_with_public_key(issuer: Issuer) -> str:
    """By hand, since joserfc refuses to."""
    text = f"{encoded({'alg': 'HS256', 'kid': 'first'})}.{encoded(claims())}"
    mac = hmac.digest(issuer.key.as_pem(private=False), text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


FORGERIES = [
    *("alg none", "alg None", "HS256 with the public key", "another algorithm", "an algorithm of the other kind of key", "no alg"),
    *("a stranger's key", "a stranger's key in jwk", "a stranger's key behind jku", "a stranger's key behind x5u"),
    *("no kid", "kid as a number", "crit", "crit and b64", "signed crit", "another payload", "no signature", "two parts"),
    *("header is a list", "header is deep", "no text", "not ASCII", "too long"),
]


@pytest.mark.threat("T41")
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_assertion_stands_for_nobody(party: Party, issuer: Issuer, hosts: KeyHosts, name: str) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key, issuer.curve_key))
    assertions = forged(issuer)
    assert set(assertions) == set(FORGERIES)

    response = await party.assert_with(client, assertions[name])

    assert (response.status_code, response.json()) == (401, {"error": "invalid_client", "error_description": "Client authentication failed."})
    assert (await party.assert_with(client, sign(issuer.key))).status_code == 200


@pytest.mark.threat("T33")
async def test_urls_in_the_header_are_never_fetched(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "first"})
    client = await party.federate(hosts, issuer.publish(issuer.key))
    urls = [issuer.publish(stranger), issuer.publish(stranger)]

    assert (await party.assert_with(client, sign(stranger, jku=urls[0], x5u=urls[1]))).status_code == 401
    assert (await party.assert_with(client, sign(issuer.key, jku=urls[0], x5u=urls[1]))).status_code == 200

    assert [issuer.fetches.get(issuer.path_of(url)) for url in urls] == [None, None]


@pytest.mark.threat("T41")
async def test_an_assertion_for_one_tenants_client_opens_no_other_tenant(party: Party, other_party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    """Both customers trust the same key server, as all customers of Entra do."""
    url = issuer.publish(issuer.key)
    mine = await party.federate(hosts, url)
    theirs = await other_party.federate(hosts, url, subject=str(uuid.uuid4()))

    assert (await other_party.assert_with(theirs, sign(issuer.key))).status_code == 401
    assert (await other_party.assert_with(mine, sign(issuer.key))).status_code == 401
    assert (await party.assert_with(mine, sign(issuer.key))).status_code == 200


async def test_a_revoked_federated_client_gets_no_token(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await party.federate(hosts, issuer.publish(issuer.key))
    await oauth.revoke_client(party.database, party.tenant, str(client.id), cause=UNATTENDED)

    assert (await party.assert_with(client, sign(issuer.key))).status_code == 401


async def test_a_client_with_secrets_takes_no_assertion(party: Party, issuer: Issuer) -> None:
    assert (await party.assert_with(party.client, sign(issuer.key))).status_code == 401


@pytest.mark.threat("T27")
async def test_an_assertion_is_not_logged(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    client = await party.federate(hosts, issuer.origin + "/none")
    assertion = sign(issuer.key)

    assert (await party.assert_with(client, assertion)).status_code == 503

    logged = party.serving.log.read_text()
    assert "federation.keys_not_fetched" in logged
    assert assertion.split(".")[2] not in logged
    assert SUBJECT not in logged


@pytest.mark.threat("T41")
async def test_known_keys_outlive_an_outage_and_an_unknown_one_is_503(party: Party, hosts: KeyHosts) -> None:
    """Fault F23."""
    dying = Issuer()
    await dying.start()
    allowed = KeyHosts.parse(dying.origin)
    clock = Clock()
    key_sets = KeySets(allowed, clock=clock)
    url = dying.publish(dying.key)
    assert (await key_sets.key_of(url, "first")).kid == "first"
    await dying.stop()

    for pause in (0, PAUSE_SECONDS, 3600, KEPT_SECONDS - 3600 - PAUSE_SECONDS - 1):
        clock.now += pause
        assert (await key_sets.key_of(url, "first")).kid == "first"
        with pytest.raises(Unavailable) as caught:
            await key_sets.key_of(url, "second")
        assert 1 <= (caught.value.retry_after_seconds or 0) <= PAUSE_SECONDS
    clock.now += PAUSE_SECONDS
    with pytest.raises(Unavailable):
        await key_sets.key_of(url, "first")


@pytest.mark.threat("T41")
async def test_an_outage_of_the_key_server_is_503_at_the_token_endpoint(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    """Fault F23: with a known key a token is given all the same."""
    client = await party.federate(hosts, issuer.publish(issuer.key))
    assert (await party.assert_with(client, sign(issuer.key))).status_code == 200

    await issuer.stop()
    try:
        known = await party.assert_with(client, sign(issuer.key))
        unknown = await party.assert_with(client, sign(issuer.next_key))
        never_met = await party.assert_with(await party.federate(hosts, issuer.publish(issuer.key)), sign(issuer.key))
    finally:
        await issuer.start()

    assert known.status_code == 200
    for response in (unknown, never_met):
        assert (response.status_code, response.json()["error"]) == (503, "temporarily_unavailable")
        assert 1 <= int(response.headers["retry-after"]) <= PAUSE_SECONDS


async def test_an_unknown_key_is_refused_only_after_the_issuer_was_asked(party: Party, issuer: Issuer, hosts: KeyHosts) -> None:
    url = issuer.publish(issuer.key)
    client = await party.federate(hosts, url)

    assert (await party.assert_with(client, sign(issuer.next_key))).status_code == 401
    assert issuer.fetches[issuer.path_of(url)] == 1


async def test_rotated_keys_are_found_and_withdrawn_ones_forgotten(issuer: Issuer, hosts: KeyHosts) -> None:
    clock = Clock()
    key_sets = KeySets(hosts, clock=clock)
    url = issuer.publish(issuer.key)
    await key_sets.key_of(url, "first")

    issuer.publish(issuer.next_key, path=issuer.path_of(url))
    with pytest.raises(Unavailable):
        await key_sets.key_of(url, "second")
    assert issuer.fetches[issuer.path_of(url)] == 1
    clock.now += PAUSE_SECONDS
    assert (await key_sets.key_of(url, "second")).kid == "second"

    clock.now += PAUSE_SECONDS
    with pytest.raises(Unauthorized):
        await key_sets.key_of(url, "first")
    assert issuer.fetches[issuer.path_of(url)] == 3


@pytest.mark.parametrize("answer", ["redirect", "too large", "no JSON", "no keys", "a short key", "a symmetric key", "an encryption key", "not found"])
@pytest.mark.threat("T33")
async def test_a_bad_answer_of_the_key_server_is_503(issuer: Issuer, hosts: KeyHosts, answer: str) -> None:
    url = issuer.publish(issuer.key)
    target = issuer.publish(issuer.key)
    with pytest.warns(SecurityWarning):
        short = RSAKey.generate_key(1024, {"kid": "first"}).as_dict(private=False)
    answers: dict[str, Any] = {
        "redirect": lambda: web.Response(status=302, headers={"location": target}),
        "too large": {"keys": [issuer.key.as_dict(private=False)], "rest": "x" * KEYS_BYTES_LIMIT},
        "no JSON": lambda: web.Response(body=b"[" * 5000),
        "no keys": {"keys": []},
        "a short key": {"keys": [short]},
        "a symmetric key": {"keys": [OctKey.generate_key(256, {"kid": "first"}).as_dict(private=True)]},
        "an encryption key": {"keys": [issuer.key.as_dict(private=False) | {"use": "enc"}]},
        "not found": None,
    }
    issuer.sets[issuer.path_of(url)] = answers[answer]

    with pytest.raises(Unavailable):
        await KeySets(hosts).key_of(url, "first")

    assert issuer.fetches[issuer.path_of(url)] == 1
    assert issuer.path_of(target) not in issuer.fetches


async def test_the_key_sets_kept_are_bounded(issuer: Issuer, hosts: KeyHosts) -> None:
    """Threat: a tenant's administrator makes clients with ever new URLs."""
    clock = Clock()
    key_sets = KeySets(hosts, clock=clock)
    first = issuer.publish(issuer.key)
    await key_sets.key_of(first, "first")

    for _ in range(MOST_URLS):
        key_sets._entry(str(uuid.uuid4()))

    assert len(key_sets._sets) == MOST_URLS
    assert first not in key_sets._sets
