"""The ratios that the project's goals name: each the median over the rounds of what was measured side by side."""

from collections.abc import Callable

import msgspec

from benchmarks.peer_servers.limit import AUDIT
from benchmarks.peer_servers.operations import CONNECTIONS, FIND, GET, PAGE, PATCH, POST, add_to
from benchmarks.peer_servers.samples import Figures, Found, Key
from benchmarks.report import middle

SMALL, LARGE, HUGE = 1_000, 100_000, 1_000_000
OURS, LIMIT, MEMORY = "Rollhouse", "pgbench", "scim2-server"
SMALL_PART = 0.6

Weight = Callable[[Figures], float]


class Ratio(msgspec.Struct, frozen=True):
    """One figure by another, by the size of the directory; the goal is met when the worst of `decided_by` is at most `goal`."""

    text: str
    goal: float
    by_users: dict[int, float]
    decided_by: list[int]

    @property
    def is_met(self) -> bool | None:
        """None if a size that decides was not measured."""
        if not self.decided_by or any(users not in self.by_users for users in self.decided_by):
            return None
        return max(self.by_users[users] for users in self.decided_by) <= self.goal


def total(figures: Figures) -> float:
    return figures.total_us


def postgres(figures: Figures) -> float:
    return figures.postgres_us


def key_of(subject: str, operation: str, users: int, connections: int | None = None) -> Key:
    return Key(operation, users, subject, connections or CONNECTIONS.get(operation, 1))


def ratios(found: Found, sizes: list[int]) -> list[Ratio]:
    """Of CPU; a write of ours counts without its audit row, which has a line of its own."""

    def quotients(above: Key, below: Key, weight: Weight, *, less: Key | None = None) -> float | None:
        if above not in found or below not in found:
            return None
        extra = [one.total_us for one in found[less]] if less else [0.0] * len(found[above])
        rows = zip(found[above], extra, found[below], strict=True)
        return middle([(one.total_us - left_out) / weight(other) for one, left_out, other in rows])

    def against(
        other: str, operation: str, text: str, goal: float, decided_by: list[int], weight: Weight = total, *, is_write: bool = False, at_once: int | None = None
    ) -> Ratio:
        by_users = {}
        for users in sizes:
            audit = Key(AUDIT, users, LIMIT, 8) if is_write else None
            one = quotients(key_of(OURS, operation, users, at_once), key_of(other, operation, users, at_once), weight, less=audit)
            if one is not None:
                by_users[users] = one
        return Ratio(text, goal, by_users, decided_by)

    found_ratios = [
        against(LIMIT, GET, "GET by id : Postgres under pgbench", 5.5, sizes, postgres),
        against(LIMIT, GET, "GET by id : pgbench and its Postgres", 5.5, sizes),
        against(LIMIT, FIND, "userName eq : Postgres under pgbench", 9, sizes, postgres),
        against(LIMIT, FIND, "userName eq : pgbench and its Postgres", 9, sizes),
        against(MEMORY, GET, "GET by id : scim2-server", 1 / 4, [LARGE]),
        against(MEMORY, FIND, "userName eq : scim2-server", 1 / 4, [LARGE]),
        against(MEMORY, PAGE, "page of 100 : scim2-server", 1 / 300, [LARGE]),
        against(MEMORY, add_to(10_000), "add a member to 10,000 : scim2-server", 1 / 1000, [LARGE]),
        against(MEMORY, POST, "POST less the audit row : scim2-server", 1 / 1.7, [LARGE], is_write=True),
        against(MEMORY, POST, "POST : scim2-server", 1 / 1.7, []),
        against(MEMORY, PATCH, "PATCH less the audit row : scim2-server", 1 / 1.8, [LARGE], is_write=True),
        against(MEMORY, PATCH, "PATCH : scim2-server", 1 / 1.8, []),
    ]
    found_ratios += [
        against(LIMIT, GET, "GET by id, one by one : Postgres under pgbench", 5.5, [], postgres, at_once=1),
        against(LIMIT, FIND, "userName eq, one by one : Postgres under pgbench", 9, [], postgres, at_once=1),
        against(MEMORY, GET, "GET by id, one by one : scim2-server", 1 / 4, [], at_once=1),
        against(MEMORY, FIND, "userName eq, one by one : scim2-server", 1 / 4, [], at_once=1),
        against(MEMORY, POST, "POST less the audit row, one by one : scim2-server", 1 / 1.7, [], is_write=True, at_once=1),
        against(MEMORY, PATCH, "PATCH less the audit row, one by one : scim2-server", 1 / 1.8, [], is_write=True, at_once=1),
    ]
    if HUGE in sizes and SMALL in sizes:
        for operation in (GET, FIND, PAGE, POST, PATCH):
            one = quotients(key_of(OURS, operation, HUGE), key_of(OURS, operation, SMALL), total)
            found_ratios.append(Ratio(f"{operation}, 1,000,000 users : 1,000", 1.15, {HUGE: one}, [HUGE]))
    return [one for one in found_ratios if one.by_users]


def shown(ratio: float | None) -> str:
    """2.50x, or 1/40.0 for a small part."""
    if ratio is None:
        return "-"
    return f"{ratio:.2f}x" if ratio >= SMALL_PART else f"1/{1 / ratio:,.1f}"
