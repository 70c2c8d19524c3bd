"""Tenants for a run, made ready through the admin API: found or created, limited, given a secret, and deleted afterwards."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from loadtests.plan import Plan, Seat
from loadtests.profiles import LoadProfile, Role

PREFIX = "loadtest-"
LABEL = "loadtests"
PAGE = 200
GONE = 404


class AdminError(Exception):
    """The admin API cannot be reached, or refused a request; the message says what it said."""


class AdminApi:
    """The admin API of one service, with one operator's key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._key = key

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer to a request.

        Raises:
            AdminError: there is no answer, or it is a refusal.
        """
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AdminError(f"{method} {path}: {error.code}: {_detail(error)}") from None
        except (OSError, ValueError) as error:
            raise AdminError(f"{self.url} does not answer as Rollhouse does ({error}); is it running?") from None

    def load_tenants(self) -> list[dict[str, Any]]:
        """Every tenant that load tests have made, deleted ones too, in order of slug."""
        found: list[dict[str, Any]] = []
        after = PREFIX[:-1]
        while True:
            page = self.call("GET", f"/tenants?after={after}&limit={PAGE}")["items"]
            found += [one for one in page if one["slug"].startswith(PREFIX)]
            if len(page) < PAGE or not page[-1]["slug"].startswith(PREFIX):
                return found
            after = page[-1]["slug"]


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["detail"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason)


def prepare_seats(api: AdminApi, profile: LoadProfile, tenants: int, earlier: Plan | None) -> list[Seat]:
    """A seat for each tenant of a run: tenants of earlier runs are taken again, and so are secrets of the earlier plan that still work."""
    known = {seat.slug: seat for seat in earlier.seats} if earlier is not None else {}
    return [_prepare(api, view, role, known.get(view["slug"])) for view, role in zip(_views(api, tenants), profile.seats(tenants), strict=True)]


def _views(api: AdminApi, tenants: int) -> list[dict[str, Any]]:
    """Active tenants: those that are there, and new ones with numbers that no tenant had before."""
    known = api.load_tenants()
    active = [one for one in known if one["status"] == "active"][:tenants]
    number = max((int(one["slug"].removeprefix(PREFIX)) for one in known if one["slug"].removeprefix(PREFIX).isdecimal()), default=0)
    for fresh in range(number + 1, number + 1 + tenants - len(active)):
        active.append(api.call("POST", "/tenants", {"slug": f"{PREFIX}{fresh:05d}", "name": f"Load test {fresh}"}))
    return active


def _prepare(api: AdminApi, view: dict[str, Any], role: Role, earlier: Seat | None) -> Seat:
    rate, burst = role.limit or (None, None)
    if (view["rate_per_second"], view["burst"]) != (rate, burst):
        api.call("PATCH", f"/tenants/{view['slug']}", {"rate_per_second": rate, "burst": burst})
    scim_url = api.url + urlsplit(view["scim_url"]).path
    credentials = f"/tenants/{view['slug']}/credentials"
    live = {one["id"] for one in api.call("GET", credentials)["items"] if one["state"] == "active" and one["label"] == LABEL}
    if earlier is not None and earlier.credential_id in live and earlier.scim_url == scim_url:
        return earlier
    for lost in live:
        api.call("DELETE", f"{credentials}/{lost}")
    made = api.call("POST", credentials, {"label": LABEL})
    return Seat(view["slug"], scim_url, made["id"], made["secret"])


def delete_tenants(api: AdminApi) -> int:
    """Delete every tenant of load tests, without days of grace; how many there were."""
    doomed = [one["slug"] for one in api.load_tenants() if one["status"] != "deleting"]
    for slug in doomed:
        api.call("DELETE", f"/tenants/{slug}?grace_days=0")
    return len(doomed)
