"""OAuth 2.0 of a tenant: its token and revocation endpoints (RFC 6749 section 4.4, RFC 7523, RFC 7009) and their description (RFC 8414)."""

import asyncio
import base64
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
from litestar import Router, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from rollhouse.http.answers import Answer, ScimRequest, header
from rollhouse.http.service import Service
from rollhouse.http.sources import source_of
from rollhouse.limits.limit import Limit
from rollhouse.scim import errors
from rollhouse.scim.errors import BadRequest, InvalidValue, NotFound, PayloadTooLarge, RequestTimeout, ScimError, TooManyRequests, Unauthorized, Unavailable
from rollhouse.telemetry.logs import log_fault
from rollhouse.tenancy import oauth
from rollhouse.tenancy.federation import ALGORITHMS, KeySets
from rollhouse.tenancy.oauth import AuthenticatedClient
from rollhouse.tenancy.secrets import lookup_id_of
from rollhouse.tenancy.tenants import check_slug

BODY_BYTES_LIMIT = 64 * 1024
BODY_SECONDS = 10
DEADLINE_SECONDS = 8.0
PARAMETERS_LIMIT = 32
TOKENS_OF_A_CLIENT = Limit(rate_per_second=1, burst=100)
"""A client needs one token an hour; this bounds what one that has run wild leaves in the database."""
RETRY_AFTER_SECONDS = 5
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_FORM = b"application/x-www-form-urlencoded"
_BASIC_LIMIT = 1024
_ALWAYS = [(b"cache-control", b"no-store"), (b"pragma", b"no-cache"), (b"x-content-type-options", b"nosniff"), (b"content-type", b"application/json")]
_WRONG = "Client authentication failed."


class UnsupportedGrantType(BadRequest):
    """The token endpoint knows only `client_credentials` (RFC 6749 section 5.2)."""


class _Proof(msgspec.Struct, frozen=True):
    """What a client shows of itself: its id, and a secret or an assertion."""

    client_id: str
    secret: str = ""
    assertion: str | None = None


class Metadata(msgspec.Struct, frozen=True):
    """The description of a tenant's authorization server (RFC 8414 section 2)."""

    issuer: str
    token_endpoint: str
    revocation_endpoint: str
    scopes_supported: tuple[str, ...] = ("scim",)
    response_types_supported: tuple[str, ...] = ()
    grant_types_supported: tuple[str, ...] = ("client_credentials",)
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "private_key_jwt")
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ALGORITHMS
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic", "client_secret_post", "private_key_jwt")
    revocation_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ALGORITHMS


class _Token(msgspec.Struct, frozen=True):
    """The answer of the token endpoint (RFC 6749 section 5.1)."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the type's name
    scope: str = "scim"


def oauth_router(service: Service) -> Router:
    """The OAuth routes of every tenant."""
    key_sets = service.key_sets

    @post("/t/{tenant:str}/oauth2/token")
    async def create_token(request: ScimRequest, tenant: FromPath[str]) -> Answer:
        """An access token for a client that proves who it is (RFC 6749 section 4.4)."""
        service.require_verified()
        form = await _form(request)
        with service.deadlines.after(DEADLINE_SECONDS):
            proof = _proof(request, form)
            match form.get("grant_type"):
                case "client_credentials":
                    client = await _authenticate(service, key_sets, request, tenant, proof)
                case None:
                    raise InvalidValue("The parameter grant_type is missing. Send grant_type=client_credentials.")
                case _:
                    raise UnsupportedGrantType("This grant type is not supported. Send grant_type=client_credentials.")
            await _charge(service, client)
            made = await oauth.issue_token(service.database, service.peppers, client, request.scope["state"]["request_id"])
        return Answer(200, [*_ALWAYS], msgspec.json.encode(_Token(made.minted.secret, made.life_seconds)))

    @post("/t/{tenant:str}/oauth2/revoke")
    async def revoke_token(request: ScimRequest, tenant: FromPath[str]) -> Answer:
        """An access token given back by the client that has it; 200 also for what is none of its tokens (RFC 7009 section 2.2)."""
        service.require_verified()
        form = await _form(request)
        with service.deadlines.after(DEADLINE_SECONDS):
            client = await _authenticate(service, key_sets, request, tenant, _proof(request, form))
            token = form.get("token")
            if token is None:
                raise InvalidValue("The parameter token is missing. Send the access token that is to be revoked.")
            await oauth.revoke_token(service.database, service.peppers, tenant, client, token, request.scope["state"]["request_id"])
        return Answer(200, _ALWAYS[:-1], b"")

    @get(["/.well-known/oauth-authorization-server/t/{tenant:str}", "/t/{tenant:str}/.well-known/oauth-authorization-server"])
    async def get_metadata(tenant: FromPath[str]) -> Answer:
        """The tenant's endpoints and what they know (RFC 8414 section 3); the same for a tenant that does not exist, so that nobody learns who does."""
        try:
            check_slug(tenant)
        except InvalidValue:
            raise NotFound("No tenant has such a name. Copy the URL from the portal again.") from None
        issuer = f"{service.public_url}/t/{tenant}"
        return Answer(200, [*_ALWAYS], msgspec.json.encode(Metadata(issuer, f"{issuer}/oauth2/token", f"{issuer}/oauth2/revoke")))

    handlers: dict[int | type[Exception], Any] = {ScimError: refuse_oauth, HTTPException: _refuse_framework_error, Exception: _refuse_fault}
    return Router("/", route_handlers=[create_token, revoke_token, get_metadata], exception_handlers=handlers, request_max_body_size=BODY_BYTES_LIMIT)


def refuse_oauth(request: ScimRequest, error: ScimError) -> Answer:
    """The answer to a refusal raised anywhere below, as RFC 6749 section 5.2 wants it."""
    headers = [*_ALWAYS]
    if isinstance(error, Unauthorized):
        error = Unauthorized(_WRONG)  # one answer for every reason, to the byte
        headers.append((b"www-authenticate", b'Basic realm="OAuth"'))
    elif isinstance(error, Unavailable | TooManyRequests):
        headers.append((b"retry-after", b"%d" % (error.retry_after_seconds or RETRY_AFTER_SECONDS)))
    if isinstance(error, errors.InternalError) or (isinstance(error, Unavailable) and error.__cause__ is not None):
        log_fault("oauth.fault", error, route=request.scope.get("path_template"))
    # The characters that RFC 6749 allows in a description.
    description = "".join(letter for letter in error.detail if " " <= letter <= "~" and letter not in '"\\')
    return Answer(error.status, headers, msgspec.json.encode({"error": _code(error), "error_description": description}))


def _code(error: ScimError) -> str:
    match error:
        case Unauthorized():
            return "invalid_client"
        case UnsupportedGrantType():
            return "unsupported_grant_type"
        case Unavailable() | TooManyRequests():
            return "temporarily_unavailable"
        case errors.InternalError():
            return "server_error"
        case _:
            return "invalid_request"


def _refuse_framework_error(request: ScimRequest, error: HTTPException) -> Answer:
    """The answer to what Litestar itself refuses: a body over the limit."""
    if error.status_code == PayloadTooLarge.status:
        return refuse_oauth(request, PayloadTooLarge("The body is larger than 64 KiB. Send only the parameters of the request."))
    return refuse_oauth(request, BadRequest("The request cannot be read. Send the parameters as a form."))


def _refuse_fault(request: ScimRequest, error: Exception) -> Answer:
    """The answer to an exception that nobody expected: a bug, logged without the request's data."""
    fault = errors.InternalError("The service met a fault of its own; it has been logged.")
    fault.__cause__ = error
    return refuse_oauth(request, fault)


async def _form(request: ScimRequest) -> dict[str, str]:
    """The parameters of the body; one without a value counts as omitted (RFC 6749 section 3.2).

    Raises:
        BadRequest: the body is no form, or a parameter comes twice.
        RequestTimeout: it did not arrive in ten seconds.
    """
    if header(request.scope, b"content-type").partition(b";")[0].strip().lower() != _FORM:
        raise BadRequest("The body is not a form. Send it as application/x-www-form-urlencoded.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.body()
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_LIMIT)
    except TimeoutError:
        raise RequestTimeout(f"The body did not arrive within {BODY_SECONDS} seconds; send the request again.") from None
    except ValueError:
        raise BadRequest(f"The body is not a form of at most {PARAMETERS_LIMIT} parameters in UTF-8.") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise BadRequest("A parameter comes twice. Send each parameter once.")
    return {name: value for name, value in form.items() if value}


def _proof(request: ScimRequest, form: dict[str, str]) -> _Proof:
    """What the client shows of itself, in one of three ways: client_secret_basic, client_secret_post, or an assertion (RFC 6749 section 2.3).

    Raises:
        BadRequest: there are two ways at once, or the parts of one do not go together.
        Unauthorized: there is none.
    """
    headers = [value for name, value in request.scope["headers"] if name == b"authorization"]
    secret, assertion = form.get("client_secret"), form.get("client_assertion")
    if len(headers) + (secret is not None) + (assertion is not None) > 1:
        raise BadRequest("The client authenticates in two ways at once. Use either the header Authorization, or client_secret, or client_assertion.")
    client_id = form.get("client_id", "")
    if headers:
        proof = _basic(headers[0])
        if client_id not in ("", proof.client_id):
            raise BadRequest("The parameter client_id is not the client that the header Authorization names. Leave one of them out.")
        return proof
    if assertion is not None:
        if form.get("client_assertion_type") != JWT_BEARER:
            raise BadRequest(f"The parameter client_assertion_type is not known. Send {JWT_BEARER}.")
        return _Proof(client_id, assertion=assertion)
    if secret is None:
        raise Unauthorized(_WRONG)
    return _Proof(client_id, secret)


def _basic(value: bytes) -> _Proof:
    """The client id and secret of an Authorization header, both form-encoded (RFC 6749 section 2.3.1).

    Raises:
        Unauthorized: it has another scheme or is malformed.
    """
    scheme, _, encoded = value[:_BASIC_LIMIT].strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise Unauthorized(_WRONG)
    try:
        client_id, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        return _Proof(unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict"))
    except ValueError:
        raise Unauthorized(_WRONG) from None


async def _authenticate(service: Service, key_sets: KeySets, request: ScimRequest, slug: str, proof: _Proof) -> AuthenticatedClient:
    """The client; a failure is counted (see `FailedAuthentications`).

    Raises:
        Unauthorized, Unavailable: as `oauth.authenticate_by_secret`.
        TooManyRequests: there were too many failures.
    """
    try:
        if proof.assertion is not None:
            return await oauth.authenticate_by_assertion(service.database, key_sets, slug, proof.client_id, proof.assertion)
        return await oauth.authenticate_by_secret(service.database, service.peppers, slug, proof.client_id, proof.secret)
    except Unauthorized:
        await service.failures.note(lookup_id_of(proof.secret), source_of(request.scope, service.trusted_proxies))
        raise


async def _charge(service: Service, client: AuthenticatedClient) -> None:
    decision = await service.limiter.admit(f"{client.tenant_id}:tokens:{client.client_id}", TOKENS_OF_A_CLIENT)
    if not decision.allowed:
        raise TooManyRequests("This client fetches too many tokens. Use a token until it ends.", retry_after_seconds=decision.retry_after_seconds)
