"""The token endpoint with client secrets: who gets a token, what it opens, and how everybody else is refused alike."""

import base64
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from rollhouse.journal import audit
from rollhouse.journal.audit import UNATTENDED
from rollhouse.tenancy import credentials, oauth, tenants
from rollhouse.tenancy.federation import KeyHosts
from rollhouse.tenancy.secrets import CLIENT_SECRET_PREFIX, mint_secret
from tests.oauth.conftest import JWT_BEARER, PEPPERS, Party

FORM = {"content-type": "application/x-www-form-urlencoded"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{quote(client_id)}:{quote(secret)}".encode()).decode()}


def essence(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Everything of an answer but the time and the request's id."""
    return response.status_code, response.content, [(name, value) for name, value in response.headers.items() if name not in ("date", "x-request-id")]


async def end_of(party: Party, kind: str, expires: datetime) -> None:
    """Let the party's credentials of a kind end at that moment."""
    async with party.database.transaction(party.tenant.id) as tx:
        await tx.fetch("UPDATE rollhouse.credentials SET expires = $1 WHERE kind = $2", expires, kind)


async def test_a_secret_in_the_form_gets_a_token_that_opens_scim(party: Party) -> None:
    """RFC 6749 section 4.4, as Entra documents it: expires_in is an integer, nothing is cached."""
    response = await party.post(party.form(scope="https://unknown.example/.default"))

    assert response.status_code == 200
    answer = response.json()
    assert answer == {"access_token": answer["access_token"], "token_type": "Bearer", "expires_in": 3600, "scope": "scim"}
    assert type(answer["expires_in"]) is int
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "application/json"
    assert (await party.users(answer["access_token"])).status_code == 200


async def test_a_secret_in_the_header_gets_a_token(party: Party) -> None:
    response = await party.post({"grant_type": "client_credentials"}, headers=basic(str(party.client.id), party.secret))

    assert response.status_code == 200
    assert (await party.users(response.json()["access_token"])).status_code == 200


async def test_a_token_lives_as_long_as_its_client_says(party: Party, hosts: KeyHosts) -> None:
    client = await oauth.create_client(party.database, party.tenant, kind="secret", hosts=hosts, token_seconds=21600, cause=UNATTENDED)
    made = await oauth.create_client_secret(party.database, PEPPERS, party.tenant, str(client.id), cause=UNATTENDED)

    response = await party.post(party.form(client_id=str(client.id), client_secret=made.minted.secret))

    assert response.json()["expires_in"] == 21600


async def test_a_token_opens_no_other_tenant(party: Party, other_party: Party) -> None:
    assert (await other_party.users(await party.token())).status_code == 401


async def test_a_client_secret_is_no_scim_secret(party: Party) -> None:
    assert (await party.users(party.secret)).status_code == 401


async def test_a_scim_secret_is_no_client_secret(party: Party) -> None:
    made = await credentials.create_secret(party.database, PEPPERS, party.tenant, cause=UNATTENDED)

    assert (await party.post(party.form(client_secret=made.minted.secret))).status_code == 401


async def test_an_expired_token_is_refused(party: Party) -> None:
    token = await party.token()
    assert (await party.users(token)).status_code == 200

    await end_of(party, "access_token", datetime.now(UTC) - timedelta(seconds=1))

    await until_refused(party, token)


async def until_refused(party: Party, token: str) -> None:
    """Five seconds are promised; the first answer past them must be a refusal."""
    deadline = datetime.now(UTC) + timedelta(seconds=5)
    while True:
        asked = datetime.now(UTC)
        if (await party.users(token)).status_code == 401:
            return
        assert asked < deadline


async def test_a_revoked_token_is_refused(party: Party) -> None:
    """RFC 7009; 200 again when it is revoked already."""
    token = await party.token()
    assert (await party.users(token)).status_code == 200

    for _ in range(2):
        response = await party.post(party.form(token=token), url=party.revocation_url)
        assert (response.status_code, response.content) == (200, b"")

    await until_refused(party, token)


async def test_a_client_cannot_revoke_the_token_of_another(party: Party, other_party: Party) -> None:
    token = await other_party.token()

    for text in (token, "nonsense", party.secret):
        assert (await party.post(party.form(token=text), url=party.revocation_url)).status_code == 200

    assert (await other_party.users(token)).status_code == 200
    assert (await party.post(party.form())).status_code == 200


async def test_a_client_cannot_revoke_a_token_of_its_tenants_other_client(party: Party, hosts: KeyHosts) -> None:
    token = await party.token()
    client = await oauth.create_client(party.database, party.tenant, kind="secret", hosts=hosts, cause=UNATTENDED)
    made = await oauth.create_client_secret(party.database, PEPPERS, party.tenant, str(client.id), cause=UNATTENDED)

    form = party.form(client_id=str(client.id), client_secret=made.minted.secret, token=token)
    assert (await party.post(form, url=party.revocation_url)).status_code == 200

    assert (await party.users(token)).status_code == 200


async def test_revocation_wants_an_authenticated_client_and_a_token(party: Party) -> None:
    wrong = await party.post(party.form(client_secret="wrong", token="x"), url=party.revocation_url)
    missing = await party.post(party.form(), url=party.revocation_url)

    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")


async def test_a_revoked_client_loses_its_secrets_and_tokens(party: Party) -> None:
    token = await party.token()
    assert (await party.users(token)).status_code == 200

    await oauth.revoke_client(party.database, party.tenant, str(party.client.id), cause=UNATTENDED)

    assert (await party.post(party.form())).status_code == 401
    await until_refused(party, token)
    secrets = await oauth.list_client_secrets(party.database, party.tenant, str(party.client.id))
    assert [one.state for one in secrets] == ["revoked"]


async def test_a_token_outlives_the_secret_that_fetched_it(party: Party) -> None:
    token = await party.token()
    name = party.secret[:19]

    await oauth.revoke_client_secret(party.database, party.tenant, str(party.client.id), name, cause=UNATTENDED)

    assert (await party.post(party.form())).status_code == 401
    assert (await party.users(token)).status_code == 200


async def test_a_suspended_tenant_gets_tokens_that_open_nothing(party: Party) -> None:
    await tenants.change_tenant(party.database, party.tenant.slug, {"status": "suspended"}, action="tenant.suspended", cause=UNATTENDED)

    assert (await party.users(await party.token())).status_code == 403


@pytest.mark.threat("T26")
@pytest.mark.threat("T25")
async def test_every_failed_authentication_has_the_same_answer(party: Party, other_party: Party, hosts: KeyHosts) -> None:
    """Unknown tenant, unknown client, wrong, foreign, expired or revoked secret: not a byte tells them apart."""
    revoked = await oauth.create_client_secret(party.database, PEPPERS, party.tenant, str(party.client.id), cause=UNATTENDED)
    await oauth.revoke_client_secret(party.database, party.tenant, str(party.client.id), str(revoked.id), cause=UNATTENDED)
    ended = await oauth.create_client(party.database, party.tenant, kind="secret", hosts=hosts, cause=UNATTENDED)
    expired = await oauth.create_client_secret(party.database, PEPPERS, party.tenant, str(ended.id), cause=UNATTENDED)
    async with party.database.transaction(party.tenant.id) as tx:
        await tx.fetch("UPDATE rollhouse.credentials SET expires = clock_timestamp() WHERE id = $1", expired.id)
    unknown = mint_secret(CLIENT_SECRET_PREFIX).secret
    assertion = {"client_secret": None, "client_assertion_type": JWT_BEARER, "client_assertion": "a.b.c"}
    nowhere = party.token_url.replace(party.tenant.slug, "nobody-at-all")
    answers = [
        await party.post(party.form(client_secret=unknown)),
        await party.post(party.form(client_secret=party.secret[:-1] + "_")),
        await party.post(party.form(), url=nowhere),
        await party.post(party.form(), url=other_party.token_url),
        await party.post(party.form(client_id=str(uuid.uuid4()))),
        await party.post(party.form(client_id="")),
        await party.post(party.form(client_id="nonsense")),
        await party.post(party.form(client_id=str(other_party.client.id), client_secret=other_party.secret)),
        await party.post(party.form(client_secret=revoked.minted.secret)),
        await party.post(party.form(client_id=str(ended.id), client_secret=expired.minted.secret)),
        await party.post(party.form(client_secret=None)),
        await party.post(party.form(**assertion)),
        await party.post(party.form(**assertion), url=nowhere),
        await party.post({"grant_type": "client_credentials"}, headers=basic(str(party.client.id), unknown)),
        await party.post({"grant_type": "client_credentials", "token": "x"}, headers=basic(str(party.client.id), unknown), url=party.revocation_url),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert answers[0].json() == {"error": "invalid_client", "error_description": "Client authentication failed."}
    assert answers[0].headers["www-authenticate"].startswith("Basic ")
    for answer in answers[1:]:
        assert essence(answer) == essence(answers[0])
    assert (await party.post(party.form())).status_code == 200


@pytest.mark.threat("T25")
@pytest.mark.parametrize(
    "value",
    ["", "Basic", "Basic =", "Basic a:b", "Basic Og==", "Basic //79", "Basic " + "QQ==" * 400, "Bearer x", "Digest x", "Basic %%%", "Basic JTgw"],
)
async def test_an_odd_authorization_header_is_a_failed_authentication(party: Party, value: str) -> None:
    response = await party.post({"grant_type": "client_credentials"}, headers={"authorization": value})

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_assertion": "a.b.c", "client_assertion_type": JWT_BEARER}, "invalid_request"),
        ({"client_secret": None, "client_assertion": "a.b.c", "client_assertion_type": "urn:x"}, "invalid_request"),
        ({"client_secret": None, "client_assertion": "a.b.c"}, "invalid_request"),
    ],
)
async def test_a_malformed_request_is_named_by_the_code_of_the_rfc(party: Party, changed: dict[str, Any], error: str) -> None:
    """RFC 6749 section 5.2."""
    response = await party.post(party.form(**changed))

    assert (response.status_code, response.json()["error"]) == (400, error)
    assert response.headers["cache-control"] == "no-store"


async def test_two_ways_to_authenticate_are_one_too_many(party: Party) -> None:
    """RFC 6749 section 2.3: not more than one method in each request; the client id alone is no method."""
    header = basic(str(party.client.id), party.secret)

    both = await party.post(party.form(), headers=header)
    other_client = await party.post(party.form(client_secret=None, client_id=str(uuid.uuid4())), headers=header)
    with_client_id = await party.post(party.form(client_secret=None), headers=header)

    assert (both.status_code, both.json()["error"]) == (400, "invalid_request")
    assert (other_client.status_code, other_client.json()["error"]) == (400, "invalid_request")
    assert with_client_id.status_code == 200


async def test_a_parameter_must_not_come_twice(party: Party) -> None:
    body = urlencode(party.form()) + "&scope=a&scope=b"

    response = await party.http.post(party.token_url, content=body, headers=FORM)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(("content", "headers"), [(b"{}", {"content-type": "application/json"}), (b"a=%ff", FORM), (b"\xff=1", FORM), (b"&a=1" * 100, FORM)])
async def test_what_is_no_form_is_refused(party: Party, content: bytes, headers: dict[str, str]) -> None:
    response = await party.http.post(party.token_url, content=content, headers=headers)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_a_body_over_64_kib_is_refused(party: Party) -> None:
    response = await party.http.post(party.token_url, content=b"a=" + b"x" * 65_536, headers=FORM)

    assert (response.status_code, response.json()["error"]) == (413, "invalid_request")


async def test_too_many_failures_of_one_secret_are_told_to_wait(party: Party) -> None:
    wrong = mint_secret(CLIENT_SECRET_PREFIX).secret

    for _ in range(150):
        response = await party.post(party.form(client_secret=wrong))
        if response.status_code != 401:
            break

    assert (response.status_code, response.json()["error"]) == (429, "temporarily_unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert (await party.post(party.form())).status_code == 200


async def test_a_client_that_fetches_tokens_without_end_is_told_to_wait(party: Party) -> None:
    for _ in range(150):
        response = await party.post(party.form())
        if response.status_code != 200:
            break

    assert (response.status_code, response.json()["error"]) == (429, "temporarily_unavailable")
    assert int(response.headers["retry-after"]) >= 1


async def test_each_token_leaves_one_row_in_the_audit(party: Party) -> None:
    await party.token()

    rows = [one for one in await audit.list_entries(party.database, party.tenant.id) if one.action == "token.issued"]

    assert [(one.actor, one.target_type) for one in rows] == [(f"client:{party.client.id}", "Credential")]


async def test_a_token_is_revoked_once_in_the_audit(party: Party) -> None:
    token = await party.token()

    for _ in range(2):
        await party.post(party.form(token=token), url=party.revocation_url)

    rows = [one for one in await audit.list_entries(party.database, party.tenant.id) if one.action == "token.revoked"]
    assert [(one.actor, one.target_type) for one in rows] == [(f"client:{party.client.id}", "Credential")]


async def test_the_last_use_of_a_client_secret_is_noted(party: Party) -> None:
    await party.token()

    secrets = await oauth.list_client_secrets(party.database, party.tenant, str(party.client.id))

    assert secrets[0].last_used is not None


@pytest.mark.threat("T27")
async def test_neither_secret_nor_token_is_kept_or_logged(party: Party, embedded_cluster) -> None:
    token = await party.token()
    await party.post(party.form(client_id="wrong"))
    await party.users(token)
    logged = party.serving.log.read_text()
    async with party.database.transaction(party.tenant.id) as tx:
        rows = [str(dict(row)) for row in await tx.fetch("SELECT * FROM rollhouse.audit")]
        columns = "id, lookup_id, label, kind, client_id, created_by"
        rows += [str(dict(row)) for row in await tx.fetch(f"SELECT {columns} FROM rollhouse.credentials")]

    for secret in (token, party.secret):
        assert secret[20:] not in logged
        assert not [row for row in rows if secret[20:] in row]
    assert len(rows) >= 5
