"""What a run has to say for itself: one JSON object, or a page to read."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rollhouse.simulator.job import quarantine_hours
from rollhouse.simulator.oracle import Divergence
from rollhouse.simulator.tally import Tally

KEPT_DIVERGENCES = 100
SHOWN_LINES = 10


class CycleRecord(NamedTuple):
    """One cycle: how much it asked and wrote, and the differences after it (None: not compared, escrow not empty)."""

    cycle: int
    kind: str
    requests: int
    writes: int
    divergences: int | None

    def as_line(self) -> str:
        """The cycle in one line."""
        compared = "not compared" if self.divergences is None else f"{self.divergences} differences"
        return f"cycle {self.cycle} {self.kind}: {self.requests} requests, {self.writes} writes, {compared}"


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome of a scenario; `ok` is what the exit status says."""

    scenario: str
    seed: int
    run_tag: str
    dialect: str
    profile: dict[str, str]
    tally: Tally
    elapsed_seconds: float = 0.0
    quarantined: str | None = None
    escrow: list[str] = field(default_factory=list)
    divergences: list[Divergence] = field(default_factory=list)
    cycles: list[CycleRecord] = field(default_factory=list)
    writes_in_second_incremental: int = -1
    """Writes of the last cycle, in which the source had not changed; -1 when the run did not come that far."""
    evaluated_in_second_incremental: int = 0
    """People that the last cycle evaluated."""

    @property
    def converged(self) -> bool:
        """Whether the server shows the directory, nothing waits in escrow, and a quiet cycle wrote nothing."""
        clean = not self.divergences and not self.escrow and self.quarantined is None
        return clean and self.writes_in_second_incremental == 0

    @property
    def ok(self) -> bool:
        """Whether the server is fit for Entra as far as this scenario goes."""
        return self.converged and self.tally.incompatible_count == 0

    def as_document(self) -> dict[str, Any]:
        """The report as one JSON object; lists of findings are cut at 100 and counted in full."""
        rate = self.tally.requests / self.elapsed_seconds if self.elapsed_seconds else 0.0
        return {
            "scenario": self.scenario,
            "requests": self.tally.statuses_by_type(),
            "latency_ms": self.tally.latency_ms_by_type(),
            "incompatible": [violation._asdict() for violation in self.tally.incompatible],
            "incompatible_count": self.tally.incompatible_count,
            "converged": self.converged,
            "writes_in_second_incremental": self.writes_in_second_incremental,
            "evaluated_in_second_incremental": self.evaluated_in_second_incremental,
            "divergences": [divergence._asdict() for divergence in self.divergences[:KEPT_DIVERGENCES]],
            "divergence_count": len(self.divergences),
            "escrow": self.escrow[:KEPT_DIVERGENCES],
            "escrow_count": len(self.escrow),
            "quarantined": self.quarantined,
            "cycles": [record._asdict() for record in self.cycles],
            "seed": self.seed,
            "run_tag": self.run_tag,
            "dialect": self.dialect,
            "profile": self.profile,
            "elapsed_seconds": round(self.elapsed_seconds, 3),
            "requests_per_second": round(rate, 1),
            "request_count": self.tally.requests,
            "ok": self.ok,
        }

    def as_text(self) -> str:
        """The report for a person at a terminal."""
        document = self.as_document()
        speed = f"{document['requests_per_second']}/s"
        lines = [
            f"{self.scenario}: {'OK' if self.ok else 'NOT OK'}  (seed {self.seed}, run tag {self.run_tag})",
            f"{self.tally.requests} requests in {self.elapsed_seconds:.1f} s ({speed}), dialect {self.dialect}",
            "  ".join(f"{name}={value}" for name, value in self.profile.items()),
            "",
            f"{'request type':<18}{'statuses':<30}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}",
        ]
        for kind, statuses in document["requests"].items():
            latency = document["latency_ms"][kind]
            counts = ", ".join(f"{status}: {count}" for status, count in statuses.items())
            lines.append(f"{kind:<18}{counts:<30}{latency['p50']:>10.1f}{latency['p95']:>10.1f}{latency['p99']:>10.1f}")
        lines.append("")
        lines += [record.as_line() for record in self.cycles]
        return "\n".join([*lines, *self._findings()])

    def _findings(self) -> list[str]:
        lines = ["", f"converged: {'yes' if self.converged else 'no'}"]
        reached = self.writes_in_second_incremental >= 0
        lines.append(
            f"writes in the quiet cycle: {self.writes_in_second_incremental} (0 wanted)" if reached else "writes in the quiet cycle: it was not reached"
        )
        if self.quarantined:
            hours = ", ".join(str(quarantine_hours(attempt)) for attempt in (1, 2, 3))
            lines.append(f"quarantined: {self.quarantined}; Entra would try again {hours} hours after this")
        lines += _section("in escrow", self.escrow, len(self.escrow))
        differences = [f"cycle {cycle}: {resource}: {why}" for cycle, resource, why in self.divergences]
        lines += _section("differences from the directory", differences, len(differences))
        answers = [f"{v.request_type} {v.method} {v.path} -> {v.status}: {v.why}" for v in self.tally.incompatible]
        lines += _section("incompatible answers", answers, self.tally.incompatible_count)
        if "status 401" in (self.quarantined or ""):
            lines.append("The server refuses the secret for this URL: copy both again; the slug in the URL and the secret must be of one tenant.")
        elif "status 404" in (self.quarantined or ""):
            lines.append("Nothing is served under this URL: a Tenant URL looks like https://scim.example.com/t/contoso/scim/v2.")
        return lines


def _section(title: str, entries: list[str], count: int) -> list[str]:
    lines = [f"{title}: {count}"]
    lines += [f"  {entry}" for entry in entries[:SHOWN_LINES]]
    return lines + ([f"  and {count - SHOWN_LINES} more"] if count > SHOWN_LINES else [])
