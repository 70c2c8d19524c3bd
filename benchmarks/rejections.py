"""The worst rejected input of each parser: milliseconds until it is refused (goal: at most 5), median of the rounds."""

import json
import time
from collections.abc import Callable
from statistics import median

from rollhouse.scim.conditions import resolve_filter
from rollhouse.scim.errors import ScimError
from rollhouse.scim.filters import parse_filter, parse_path
from rollhouse.scim.messages import decode_object, decode_patch
from rollhouse.scim.schemas import GROUP, USER
from rollhouse.tenancy.secrets import bearer_secret, is_well_typed, lookup_id_of

MIB = 1024 * 1024
FILTERS = {
    "100,000 parentheses": "(" * 100_000,
    "not( to the limit": "not(" * 1024,
    "100 terms, then nonsense": " or ".join(["active pr"] * 100) + " nonsense",
    "4,096 quotes": 'userName eq "' + '"' * 4080 + " x",
    "4,096 backslashes": 'userName eq "' + "\\" * 4083,
    "one long name": "a" * 4096,
    "dots": "." * 4096,
    "spaces": " " * 4096,
    "folds": 'userName eq "' + "ﬃ" * 1000 + '" x',
}
BODIES = {
    "4 MiB of brackets": b'{"a":' + b"[" * (4 * MIB - 10),
    "119,000 levels": b'{"a":' + b"[" * 119_000,
    "119,000 values, cut off": b'{"a":[' + b"1," * 119_000,
    "4 MiB of text, cut off": b'{"a":"' + b"x" * (4 * MIB - 10),
    "4 MiB of escapes, cut off": b'{"a":"' + b"\\n" * (2 * MIB - 10),
    "4 MiB of digits": b'{"a":' + b"1" * (4 * MIB - 10),
    "4 MiB no UTF-8 at its end": b'{"a":"' + b"x" * (4 * MIB - 20) + b'\xff"}',
    "4 MiB of text with a NUL": b'{"a":"' + b"x" * (4 * MIB - 30) + b'\\u0000"}',
    "4 MiB of texts, no UTF-8": b'{"a":["' + b'","'.join([b"x" * 4000] * 1040) + b'\xff"]}',
    "4 MiB of texts, a NUL": b'{"a":["' + b'","'.join([b"x" * 4000] * 1040) + b'\\u0000"]}',
    "4 MiB of marks in texts, no UTF-8": b'{"a":["' + b'","'.join([(b"{[," + b"x" * 117) * 33] * 1040) + b'\xff"]}',
    "4 MiB of folds, no UTF-8": b'{"a":["' + b'","'.join(["ﬃ".encode() * 1300] * 1060) + b'\xff"]}',
    "4 MiB of folds, a NUL": b'{"a":["' + b'","'.join(["ﬃ".encode() * 1300] * 1060) + b'\\u0000"]}',
    "4 MiB of escaped quotes, no UTF-8": b'{"a":"' + b'\\"' * (2 * MIB - 20) + b'\xff"}',
    "40 levels": b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
}


def refuse_filter(text: str) -> None:
    resolve_filter(USER, parse_filter(text, set()))


def refuse_patch(count: int) -> Callable[[], None]:
    body = json.dumps({"Operations": [{"op": "add", "path": "title", "value": "x"}] * count}).encode()
    return lambda: decode_patch(USER, body, set()) and None


def refuse_bearer() -> None:
    for text in ("Bearer " + "A" * 100_000, "Bearer scimsk_" + "A" * 62, "Bearer " * 10_000):
        secret, _ = bearer_secret(text)
        if lookup_id_of(secret):
            is_well_typed(secret)
    raise ScimError("refused")


def cases() -> dict[str, Callable[[], object]]:
    found: dict[str, Callable[[], object]] = {f"filter: {name}": lambda text=text: refuse_filter(text) for name, text in FILTERS.items()}
    found |= {f"path: {name}": lambda text=text: parse_path(text, set()) and refuse_filter("(") for name, text in FILTERS.items()}
    found |= {f"json: {name}": lambda body=body: decode_object(body) for name, body in BODIES.items()}
    found["json: 5,000 operations"] = refuse_patch(5000)
    found["json: members that are none"] = lambda: decode_patch(
        GROUP, b'{"Operations":[' + b'{"op":"add","path":"members","value":[5]},' * 3000 + b"5]}", set()
    )
    found["bearer"] = refuse_bearer
    return found


def main() -> None:
    worst = 0.0
    for name, refuse in cases().items():
        times = []
        for _ in range(7):
            started = time.perf_counter()
            try:
                refuse()
            except ScimError:
                times.append((time.perf_counter() - started) * 1000)
            else:
                raise SystemExit(f"{name} was not refused")
        worst = max(worst, median(times))
        print(f"{name:<38}{median(times):9.3f} ms")
    print(f"{'the worst':<38}{worst:9.3f} ms")


if __name__ == "__main__":
    main()
