"""The description of a tenant's authorization server (RFC 8414)."""

import httpx
import pytest

from tests.oauth.conftest import Party

PLACES = ["/.well-known/oauth-authorization-server/t/{}", "/t/{}/.well-known/oauth-authorization-server"]


@pytest.mark.parametrize("place", PLACES)
async def test_the_metadata_describe_the_tenants_endpoints(party: Party, place: str) -> None:
    base = f"{party.serving.url}/t/{party.tenant.slug}"

    response = await party.http.get(party.serving.url + place.format(party.tenant.slug))

    assert response.status_code == 200
    assert response.json() == {
        "issuer": base,
        "token_endpoint": f"{base}/oauth2/token",
        "revocation_endpoint": f"{base}/oauth2/revoke",
        "scopes_supported": ["scim"],
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256", "ES256"],
    }
    assert party.token_url == response.json()["token_endpoint"]


@pytest.mark.threat("T25")
@pytest.mark.parametrize("place", PLACES)
async def test_the_metadata_do_not_tell_whether_a_tenant_exists(party: Party, place: str) -> None:
    async def answer(slug: str) -> tuple[int, str, list[str]]:
        response: httpx.Response = await party.http.get(party.serving.url + place.format(slug))
        return response.status_code, response.text.replace(slug, "<slug>"), sorted(set(response.headers))

    assert await answer(party.tenant.slug) == await answer("nobody-at-all")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("slug", ["Acme", "a_b", "-a", "a" * 64, "admin", "a%00b", "%C3%A9"])
async def test_a_malformed_slug_has_no_metadata(party: Party, place: str, slug: str) -> None:
    assert (await party.http.get(party.serving.url + place.format(slug))).status_code == 404
