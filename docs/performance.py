"""Prints docs/performance.md from the figures in docs/figures: python docs/performance.py > docs/performance.md."""

import json
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).with_name("figures")
OURS = "Rollhouse"
SMALL_PART = 0.6
PROFILED = 25
"""Functions of a profile that are shown."""


def read(name: str) -> Any:
    return json.loads((FIGURES / f"{name}.json").read_text())


def quotient(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.2f}x" if ratio >= SMALL_PART else f"1/{1 / ratio:,.1f}"


def ran_on(name: str) -> str:
    """The machine and the versions, in words."""
    found = dict(read(name)["ran_on"])
    machine = f"{found.pop('cores')} cores of an {found.pop('processor')}"
    return f"{machine}, with {', '.join(f'{what} {version}' for what, version in found.items())}"


def peers() -> list[str]:
    found = read("peers")
    lines = []
    for operation in dict.fromkeys(one["operation"] for one in found["measured"]):
        lines += [f"### {operation}", "", "| | users | at once | app us | Postgres us | p50 ms | p99 ms |", "|---|--:|--:|--:|--:|--:|--:|"]
        cells = [one for one in found["measured"] if one["operation"] == operation]
        for one in sorted(cells, key=lambda cell: (cell["users"], cell["subject"] != OURS, cell["subject"], cell["connections"])):
            median = one["median"]
            times = f"{median['app_us']:,.0f} | {median['postgres_us']:,.0f} | {median['p50_ms']:,.2f} | {median['p99_ms']:,.2f}"
            lines.append(f"| {one['subject']} | {one['users']:,} | {one['connections']} | {times} |")
        lines.append("")
    return lines


def goals(name: str) -> list[str]:
    found = read(name)
    sizes = found["sizes"]
    lines = [
        "| CPU of Rollhouse : CPU of | " + " | ".join(f"{size:,} users" for size in sizes) + " | goal | met |",
        "|---|" + "--:|" * (len(sizes) + 1) + "---|",
    ]
    for one in found["ratios"]:
        values = " | ".join(quotient(one["by_users"].get(str(size))) for size in sizes)
        lines.append(f"| {one['text']} | {values} | {quotient(one['goal'])} | {({True: 'yes', False: '**no**', None: '-'})[one['is_met']]} |")
    return lines


def certification() -> list[str]:
    found = read("certification")
    lines = ["| tenants | requests/s | p50 ms | p95 ms | p99 ms | wrong | app | Postgres | Redis | locust | app waits | all | |", "|" + "--:|" * 12 + "---|"]
    for one in found["rows"]:
        cores = " | ".join(f"{one[name]:.2f}" for name in ("app", "postgres", "redis", "locust", "app_waits", "machine"))
        times = " | ".join(f"{one[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
        lines.append(f"| {one['tenants']} | {one['per_second']:.0f} | {times} | {one['wrong']} | {cores} | {one['outcome']} |")
    return lines


def profile() -> list[str]:
    rows = read("profile")["rows"][:PROFILED]
    shown = [f"| `{one['function']}` | {one['with_all'] * 100:.0f} | {one['alone'] * 100:.0f} |" for one in rows]
    return ["| function | with what it calls | alone |", "|---|--:|--:|", *shown]


def company() -> list[str]:
    lines = ["| | at once | statements | app us | Postgres us | p50 ms | CPU : alone |", "|---|--:|--:|--:|--:|--:|--:|"]
    for one in read("company")["rows"]:
        cells = one["together"]
        figures = f"{cells['statements']:.2f} | {cells['app_us']:,.0f} | {cells['postgres_us']:,.0f} | {cells['p50_ms']:.2f} | {one['ratio']:.2f}"
        lines.append(f"| {one['operation']} | {one['at_once']} | {figures} |")
    return lines


TEXT = """# What it costs, and beside whom

![CPU of a request, beside other servers and the limit](pictures/peers.svg)

All figures of this page are medians of one run each, made by the commands that stand beside them, on two cores that Rollhouse, its
Postgres and whoever sends share. Take the ratios with you and leave the microseconds: another machine has others.

## Goals

`python -m benchmarks.peers --json FILE --picture FILE` measures {rounds} interleaved rounds. CPU counts the whole process tree and
Postgres. A write counts without its audit row, which has a line of its own below. Lines that end in "-" decide nothing: they are there because
a goal names no number of requests at once. It ran on {ran_on}.

{goals}

{said}

### By a faster interpreter

The figures of this page are of a Python 3.11.7 that was built without profile-guided optimisation. The same command by Debian's 3.11.2, which
was built with it, as the usual image's is, for Rollhouse and the other servers alike:

{optimised}

{said_of_it}

## Every operation

scim2-server 0.8.3 keeps everything in memory; django-scim2 0.23.0 keeps it in a database of its own on the same Postgres; both run by
gunicorn with one worker and eight threads. pgbench runs the SQL of Rollhouse as the same role under row-level security: the limit.
Its app is pgbench itself. The request log is on, as it always is. The rate limit is off: the others have none, what it costs stands under
Layers, and what it costs Redis under Certification. Members are added by up to 400 requests a round, as many as are answered in six seconds.

{peers}
## In company

A tenant that has more requests under way than connections sends those that ask the same together (decisions/0015-gathered-statements.md); what
pgbench sends above, it sends one by one. `python -m benchmarks.company --json FILE` measures Rollhouse beside a Rollhouse that sends each by
itself, in {company_rounds} rounds; the last column is the CPU of all, beside that of the other. Up to four at once nothing goes together, so
those lines show how far such a figure can be trusted.

{company}

## Where it goes

`python -m benchmarks.profile get --json FILE` looks into the service 500 times a second (py-spy) while it is asked for users by eight at once. Of the
time within a request, in per cent, {profile_seconds} s long:

{profile}

## Layers

`python -m benchmarks.layers` calls the same handler in one process without and with what stands before it, with a real Redis.

| | us of CPU | goal |
|---|--:|--:|
| authentication, rate limit, observability | {gates:.0f} | 40 |
| request log | {log:.0f} | 25 |

A tenant's tokens are leased (decisions/0014-leases.md): the question to Redis alone had been 40 us of each request. Of Postgres the log's rows
cost more, which are written in batches of 200; that is part of every figure above.

## Certification

`python -m benchmarks.certification` sends what Entra ID sends, 25 requests a second for each tenant, {minutes:g} min for each line; the
middle columns are cores. "wrong" are errors and 429s; "app waits" is the time in which the service could have run and others had
the cores, locust among them. Each line is one run, on {certified_on}.

![Requests a second and latency of the run with 56 tenants](pictures/certification.svg)

{certification}

Redis's CPU was {redis:.0f} us a request in the first of these lines. {limits}
"""


def main() -> None:
    said, layers = read("said"), read("layers")
    values = {
        "goals": "\n".join(goals("peers")),
        "optimised": "\n".join(goals("peers-optimised")),
        "said_of_it": said["optimised"],
        "peers": "\n".join(peers()),
        "ran_on": ran_on("peers"),
        "certified_on": ran_on("certification"),
        "company": "\n".join(company()),
        "profile": "\n".join(profile()),
        "profile_seconds": str(read("profile")["seconds"]),
        "company_rounds": str(read("company")["rounds"]),
        "certification": "\n".join(certification()),
        "said": said["goals"],
        "limits": said["limits"],
    }
    first = read("certification")["rows"][0]
    print(
        TEXT.format(
            rounds=read("peers")["rounds"],
            minutes=read("certification")["minutes"],
            gates=layers["gates"],
            log=layers["log"],
            redis=first["redis"] / first["per_second"] * 1e6,
            **values,
        ),
        end="",
    )


if __name__ == "__main__":
    main()
