"""Prints docs/conformance-report.md: a service of its own, a strict tenant with a resource type of every characteristic, and `rollhouse conformance` on it."""

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from rollhouse import __version__
from rollhouse.conformance.deviations import DEVIATIONS

ROLLHOUSE = str(Path(sys.executable).with_name("rollhouse"))
DEFINITIONS = Path(__file__).parent / "definitions"
SLUG = "conformance"
HEAD = f"""# Conformance report, release {__version__}

Made by `python docs/conformance_report.py > docs/conformance-report.md`: `rollhouse conformance` on a tenant of a fresh service that is strict
and has the resource type of [definitions/](definitions/test-resource.json). What each row tries is in `src/rollhouse/conformance/checks`;
`tests/conformance/test_report.py` holds this page to what the service does. The secret speaks for a user, so that `/Me` is there.

## Rows that are not passed, and why

| id | why |
|---|---|
{{deviations}}

## The report

"""


def run(folder: Path, *arguments: str) -> str:
    """What a command prints."""
    return subprocess.run([ROLLHOUSE, *arguments, "--data-dir", str(folder)], check=True, capture_output=True, text=True).stdout


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rh-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        port, metrics_port = "18480", "18490"
        with (folder / "log").open("wb") as log:
            command = [ROLLHOUSE, "dev", "--data-dir", str(folder / "data"), "--port", port, "--metrics-port", metrics_port, "--no-demo"]
            service = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            told = "\n".join(f"| {name} | {why} |" for name, why in DEVIATIONS.items())
            sys.stdout.write(HEAD.replace("{deviations}", told) + report(folder, f"http://127.0.0.1:{port}"))
        finally:
            service.terminate()
            service.wait(30)


def report(folder: Path, url: str) -> str:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                break
        except OSError:
            time.sleep(0.1)
    data = folder / "data"
    run(data, "tenant", "create", SLUG, "--name", "Conformance")
    run(data, "tenant", "set-limit", SLUG, "--rate", "0", "--burst", "0")
    for name in ("test-resource", "test-extension"):
        run(data, "schema", "add", SLUG, str(DEFINITIONS / f"{name}.json"))
    run(data, "resource-type", "add", SLUG, str(DEFINITIONS / "test-resource-type.json"))
    run(data, "tenant", "profile", SLUG, "--strict")
    base = f"{url}/t/{SLUG}/scim/v2"
    secret = folder / "secret"
    secret.write_text(run(data, "secret", "create", SLUG, "--subject", new_user(base, run(data, "secret", "create", SLUG).strip())))
    command = [ROLLHOUSE, "conformance", "--url", base, "--secret-file", str(secret)]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def new_user(base: str, secret: str) -> str:
    """The id of a user for whom a secret can speak."""
    body = json.dumps({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "subject"}).encode()
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/scim+json"}
    with urllib.request.urlopen(urllib.request.Request(f"{base}/Users", body, headers), timeout=10) as answer:
        return str(json.load(answer)["id"])


if __name__ == "__main__":
    main()
