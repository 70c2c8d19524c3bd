"""`rollhouse client`: what an operator prints for an administrator works at the served endpoints."""

import subprocess

import httpx

from tests.oauth.conftest import JWT_BEARER, Party
from tests.oauth.issuer import AUDIENCE, ENTRA_TENANT, ISSUER, SUBJECT, Issuer, sign
from tests.servers.service import ROLLHOUSE


async def test_a_client_made_by_the_commands_gets_a_token_until_it_is_revoked(party: Party) -> None:
    slug, run = party.tenant.slug, party.serving.run
    made = run("client", "create", slug, "--kind", "secret", "--label", "by hand", "--token-seconds", "7200")
    secret = run("client", "secret", slug, made["id"], "--label", "first")
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_secret": secret["secret"]}

    response = await party.post(form, url=made["token_url"])

    assert response.json()["expires_in"] == 7200
    assert secret["token_url"] == made["token_url"] == party.token_url
    assert made["scim_url"] == party.serving.url + party.tenant.path
    assert [(one["id"], one["label"]) for one in run("client", "list", slug)][1:] == [(made["id"], "by hand")]
    assert [(one["prefix"], one["state"]) for one in run("client", "secrets", slug, made["id"])] == [(secret["prefix"], "active")]
    assert run("client", "revoke-secret", slug, made["id"], secret["prefix"])["state"] == "revoked"
    assert (await party.post(form)).status_code == 401
    assert run("client", "revoke", slug, made["id"])["state"] == "revoked"


async def test_a_federated_client_made_by_the_command_gets_a_token(party: Party, issuer: Issuer) -> None:
    url = issuer.publish(issuer.key)
    options = ["--issuer", ISSUER, "--jwks-url", url, "--subject", SUBJECT, "--audience", AUDIENCE]

    made = party.serving.run("client", "create", party.tenant.slug, "--kind", "federated", *options)

    assert made["entra_tenant"] == ENTRA_TENANT
    form = {"grant_type": "client_credentials", "client_id": made["id"], "client_assertion_type": JWT_BEARER, "client_assertion": sign(issuer.key)}
    response: httpx.Response = await party.post(form, url=made["token_url"])
    assert response.status_code == 200


def run(party: Party, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROLLHOUSE, "client", *arguments], env=party.serving.environment, capture_output=True, text=True, check=False, timeout=60)


async def test_options_that_do_not_go_together_are_wrong_usage(party: Party) -> None:
    slug = party.tenant.slug
    for arguments in (
        ("create", slug, "--kind", "federated", "--issuer", ISSUER),
        ("create", slug, "--kind", "secret", "--issuer", ISSUER),
        ("create", slug, "--kind", "secret", "--token-seconds", "60"),
        ("secret", slug, str(party.client.id), "--expires", "2020-01-01"),
        ("secret", slug, str(party.client.id), "--expires", "tomorrow"),
    ):
        assert run(party, *arguments).returncode == 2, arguments


async def test_the_words_name_everything_that_the_administrator_needs(party: Party) -> None:
    done = run(party, "create", party.tenant.slug, "--kind", "secret")

    assert done.returncode == 0
    client_id = done.stdout.split()[1]
    assert f"Client ID   {client_id}" in done.stdout
    assert f"Token URL   {party.token_url}" in done.stdout
    assert f"SCIM URL    {party.serving.url}{party.tenant.path}" in done.stdout
    secret = run(party, "secret", party.tenant.slug, client_id)
    assert secret.stdout.startswith("scimcs_")
    assert secret.stdout.strip() not in secret.stderr
    assert party.token_url in secret.stderr
