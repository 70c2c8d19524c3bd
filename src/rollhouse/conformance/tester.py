"""scim2-tester as a program of its own: `python -m rollhouse.conformance.tester URL`, the secret in ROLLHOUSE_SCIM_SECRET, its verdicts as JSON.

It makes resources without required extensions, so only types that have none are tried.
"""

import json
import os
import sys
import time
import urllib.request

from httpx2 import Client, HTTPTransport, Request, Response
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

from rollhouse.conformance.probe import TOO_MANY_REQUESTS, TRIES, pause_of

TIMEOUT_SECONDS = 30


def triable(url: str, secret: str) -> list[str]:
    """The names of the resource types without a required extension."""
    request = urllib.request.Request(f"{url}/ResourceTypes", headers={"authorization": f"Bearer {secret}"})  # noqa: S310 - the URL is the caller's
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
        types = json.load(answer)["Resources"]
    return [one["name"] for one in types if not any(each.get("required") for each in one.get("schemaExtensions", []))]


class Patient(HTTPTransport):
    """Waits as long as an answer of 429 asks, and sends the request again: the suite would take a limit for a fault, and leave its resources behind."""

    def handle_request(self, request: Request) -> Response:
        """The answer, of several tries the last."""
        response = super().handle_request(request)
        for _ in range(TRIES - 1):
            if response.status_code != TOO_MANY_REQUESTS:
                break
            response.close()
            time.sleep(pause_of(response.headers))
            response = super().handle_request(request)
        return response


def main() -> None:
    """Print what each check found: its title, its status, and the reason."""
    url, secret = sys.argv[1], os.environ["ROLLHOUSE_SCIM_SECRET"]
    client = SyncSCIMClient(Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=TIMEOUT_SECONDS, transport=Patient()))
    results = check_server(client, resource_types=triable(url, secret))
    sys.stdout.write(json.dumps([{"title": one.title, "status": one.status.name, "reason": one.reason} for one in results]))


if __name__ == "__main__":
    main()
