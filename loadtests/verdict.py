"""Whether a run held what its profile asks for, in numbers, as one document and in words."""

from typing import Any

import msgspec

from loadtests.plan import Plan
from loadtests.profiles import Role
from loadtests.recording import Buckets, percentile_ms, summed

KEPT_SHARE = 0.98
"""Share of the requests that were due which a constant load must have sent; less means that the service or this machine was too slow."""
BUSY_SHARE = 0.85
"""Share of a core from which on a sending process makes its requests wait."""
RANKS = (50, 95, 99)


class Moment(msgspec.Struct, frozen=True):
    """The answers that came within one second."""

    requests: int
    took: Buckets
    failed: int = 0
    throttled: int = 0


class Kind(msgspec.Struct, frozen=True):
    """All requests of one kind by one role."""

    took: Buckets
    statuses: dict[str, int]


class Measured(msgspec.Struct, frozen=True):
    """What the processes of a run have recorded together."""

    processes: int = 0
    cpu_seconds: float = 0.0
    seconds: dict[str, dict[int, Moment]] = {}
    kinds: dict[str, dict[str, Kind]] = {}
    reasons: dict[str, int] = {}
    tenants: dict[str, float] = {}
    due: dict[str, float] = {}
    cycles: dict[str, float] = {}


class Condition(msgspec.Struct, frozen=True):
    """One thing that the profile asks for, and what came out."""

    what: str
    wanted: str
    measured: str
    met: bool


class Verdict(msgspec.Struct, frozen=True):
    """A run that is over."""

    plan: Plan
    measured: Measured
    conditions: list[Condition]

    @property
    def passed(self) -> bool:
        """Whether every condition is met."""
        return all(condition.met for condition in self.conditions)

    @property
    def generator_cores(self) -> float:
        """Processor cores that the sending processes used themselves, on average."""
        return self.measured.cpu_seconds / self.plan.seconds

    def apart(self) -> dict[str, dict[str, float]]:
        """The p99 in milliseconds of every judged role before and since the throttled one began; empty when there is none, or nothing before it."""
        throttled = [role.name for role, _ in self.plan.profile.arrange(len(self.plan.seats)) if role.throttled]
        begin = min((second for name in throttled for second in self.measured.seconds.get(name, {})), default=None)
        if begin is None:
            return {}
        return {
            role: {
                "before_p99_ms": percentile_ms(summed(one.took for second, one in moments.items() if second < begin), 99),
                "since_p99_ms": percentile_ms(summed(one.took for second, one in moments.items() if second >= begin), 99),
            }
            for role, moments in self.measured.seconds.items()
            if role not in throttled
        }

    def as_document(self) -> dict[str, Any]:
        """Everything but the secrets, for --json."""
        measured = self.measured
        return {
            "profile": self.plan.profile_name,
            "url": self.plan.url,
            "tenants": len(self.plan.seats),
            "seconds": self.plan.seconds,
            "passed": self.passed,
            "conditions": [msgspec.to_builtins(condition) for condition in self.conditions],
            "roles": {role: _role_figures(measured, role, self.plan.seconds) for role in measured.seconds},
            "apart": self.apart(),
            "kinds": {role: {kind: _kind_figures(found) for kind, found in sorted(kinds.items())} for role, kinds in measured.kinds.items()},
            "reasons": measured.reasons,
            "generator": {"processes": measured.processes, "cores": round(self.generator_cores, 2)},
            "timeline": {role: _timeline(moments, _begin(measured)) for role, moments in measured.seconds.items()},
        }

    def as_text(self) -> str:
        """For a person at a terminal."""
        document = self.as_document()
        lines = [f"{'role':<14}{'tenants':>8}{'requests':>10}{'per s':>9}{'errors':>8}{'429':>8}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}"]
        for role, found in document["roles"].items():
            numbers = f"{found['tenants']:>8}{found['requests']:>10}{found['per_second']:>9.1f}{found['errors']:>8}{found['throttled']:>8}"
            lines.append(f"{role:<14}{numbers}" + "".join(f"{found[name]:>9.1f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms")))
        for role, kinds in document["kinds"].items():
            lines += ["", f"{role}:"]
            lines += [_kind_line(kind, found) for kind, found in _with_shares(kinds)]
        lines += [""]
        for role, found in document["apart"].items():
            lines.append(f"{role}: p99 {found['before_p99_ms']:.1f} ms before the throttled tenant began, {found['since_p99_ms']:.1f} ms since")
        lines += [f"{count} x {reason}" for reason, count in sorted(document["reasons"].items(), key=lambda one: -one[1])[:10]]
        lines += [f"{'ok' if one.met else 'NOT MET':<8}{one.what}: {one.measured} (wanted: {one.wanted})" for one in self.conditions]
        lines += [
            self._generator_line(),
            f"{self.plan.profile_name}: {'PASSED' if self.passed else 'FAILED'}",
        ]
        return "\n".join(lines)

    def _generator_line(self) -> str:
        said = f"The load generator itself used {self.generator_cores:.2f} cores in {self.measured.processes} process(es)."
        if self.generator_cores > BUSY_SHARE * self.measured.processes:
            return f"{said} It was busy nearly all the time, so part of the latency is its own: give it more --workers, or another machine."
        return said


def judge(plan: Plan, measured: Measured) -> Verdict:
    """Hold a run to its profile."""
    profile = plan.profile
    roles = {role.name: (role, count) for role, count in profile.arrange(len(plan.seats)) if count}
    conditions = []
    for role, count in roles.values():
        conditions += _participation(measured, role, count)
        if role.throttled:
            conditions.append(_refusals(measured, role))
            continue
        took = _took(measured, role.name)
        ranks = [(99, profile.p99_ms)] + ([(95, profile.p95_ms)] if profile.p95_ms is not None else [])
        conditions += [_latency(role, percentile_ms(took, rank), rank, limit) for rank, limit in ranks]
    return Verdict(plan, measured, conditions)


def _participation(measured: Measured, role: Role, count: int) -> list[Condition]:
    """Everybody took part, without an error, and a constant load was really sent."""
    began, moments = int(measured.tenants.get(role.name, 0)), measured.seconds.get(role.name, {})
    requests, errors = sum(one.requests for one in moments.values()), sum(one.failed for one in moments.values())
    found = [
        Condition(f"{role.name}: tenants that took part", str(count), str(began), began == count and requests > 0),
        Condition(f"{role.name}: errors", "0", str(errors), errors == 0),
    ]
    if role.work == "mix" and not role.throttled:
        due = measured.due.get(role.name, 0.0)
        share = requests / due if due else 0.0
        found.append(Condition(f"{role.name}: sent of what was due", f"at least {KEPT_SHARE:.0%}", f"{share:.1%}", share >= KEPT_SHARE))
    return found


def _refusals(measured: Measured, role: Role) -> Condition:
    throttled = sum(one.throttled for one in measured.seconds.get(role.name, {}).values())
    return Condition(f"{role.name}: requests answered with 429", "at least 1", str(throttled), throttled > 0)


def _latency(role: Role, found: float, rank: int, limit: float) -> Condition:
    return Condition(f"{role.name}: p{rank}", f"below {limit:.0f} ms", f"{found:.1f} ms", 0 < found < limit)


def _took(measured: Measured, role: str) -> Buckets:
    return summed(moment.took for moment in measured.seconds.get(role, {}).values())


def _latencies(took: Buckets) -> dict[str, float]:
    return {f"p{rank}_ms": percentile_ms(took, rank) for rank in RANKS} | {"max_ms": percentile_ms(took, 100)}


def _role_figures(measured: Measured, role: str, seconds: float) -> dict[str, Any]:
    moments = measured.seconds[role].values()
    requests = sum(one.requests for one in moments)
    return {
        "tenants": int(measured.tenants.get(role, 0)),
        "requests": requests,
        "due": round(measured.due.get(role, 0)),
        "per_second": round(requests / seconds, 2),
        "errors": sum(one.failed for one in moments),
        "throttled": sum(one.throttled for one in moments),
        "cycles": int(measured.cycles.get(role, 0)),
        **_latencies(_took(measured, role)),
    }


def _kind_figures(found: Kind) -> dict[str, Any]:
    return {"requests": sum(found.statuses.values()), "statuses": dict(sorted(found.statuses.items())), **_latencies(found.took)}


def _with_shares(kinds: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    total = sum(found["requests"] for found in kinds.values())
    return [(kind, found | {"share": f"{found['requests'] / total:.0%}"}) for kind, found in kinds.items()]


def _kind_line(kind: str, found: dict[str, Any]) -> str:
    shown = ", ".join(f"{status}: {count}" for status, count in found["statuses"].items())
    return f"  {kind:<18}{found['requests']:>8}  {found['share']:>4}  p50 {found['p50_ms']:>7.1f}  p99 {found['p99_ms']:>7.1f}  {shown}"


def _begin(measured: Measured) -> int:
    return min((second for moments in measured.seconds.values() for second in moments), default=0)


def _timeline(moments: dict[int, Moment], begin: int) -> list[dict[str, Any]]:
    """Second by second from the first answer of the run on."""
    return [
        {"second": second - begin, "requests": one.requests, "errors": one.failed, "throttled": one.throttled, **_latencies(one.took)}
        for second, one in sorted(moments.items())
    ]
