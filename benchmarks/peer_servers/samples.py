"""What one measurement finds, and the middle of several."""

import msgspec

from benchmarks.report import middle


class NoRatio(Exception):
    """A server did not do what the others do: nothing is compared."""


class Figures(msgspec.Struct, frozen=True):
    """CPU of one request in microseconds (the server's processes, Postgres's) and latency in milliseconds."""

    app_us: float
    postgres_us: float
    p50_ms: float
    p99_ms: float
    requests: int

    @property
    def total_us(self) -> float:
        return self.app_us + self.postgres_us

    def divided(self, by: int) -> "Figures":
        """The share of one of several equal parts of what was measured as one."""
        return Figures(self.app_us / by, self.postgres_us / by, self.p50_ms / by, self.p99_ms / by, self.requests * by)


class Key(msgspec.Struct, frozen=True, order=True):
    """What was measured: whose operation, in a directory of how many users, over how many connections."""

    operation: str
    users: int
    subject: str
    connections: int


Found = dict[Key, list[Figures]]
"""One entry for each round, in order: those of a round were measured beside each other."""


def percentile(ordered: list[float], part: float) -> float:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def medians(rounds: list[Figures]) -> Figures:
    columns = ([getattr(one, name) for one in rounds] for name in Figures.__struct_fields__)
    app, postgres, p50, p99, requests = (middle(column) for column in columns)
    return Figures(app, postgres, p50, p99, int(requests))


def median_total(rounds: list[Figures]) -> float:
    return middle([one.total_us for one in rounds])
