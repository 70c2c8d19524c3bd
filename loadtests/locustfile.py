"""What locust runs: one user class for each tenant of the plan, the shape of the profile, and the measurements on their way to the result."""

from typing import Any

import msgspec
from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task
from locust.runners import LocalRunner, WorkerRunner

from loadtests.plan import Plan, planned, result_path
from loadtests.profiles import Role
from loadtests.recording import Recorder, merge
from loadtests.tenant import IdentityProvider
from loadtests.work import workers_of

PLAN_FILE, PLAN = planned()
RECORDER = Recorder()
TOTAL: dict[str, Any] = {}
CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0


class Tenant(FastHttpUser):
    """A tenant's identity provider: every run of its task is the turn of one request, so that requests come at a constant rate."""

    abstract = True
    number: int
    role: Role
    host = PLAN.url
    connection_timeout, network_timeout = CONNECT_SECONDS, ANSWER_SECONDS
    insecure = False

    def on_start(self) -> None:
        """Begin the work of the role."""
        self.provider = IdentityProvider(self.client, self.number, PLAN.seats[self.number], self.role, RECORDER)
        self.provider.begin(workers_of)

    def on_stop(self) -> None:
        """End it."""
        self.provider.end()

    @task
    def let_one_go(self) -> None:
        """Let the next request go."""
        self.provider.sender.turns.come_due()


def tenant_classes(plan: Plan) -> dict[str, type[Tenant]]:
    """A class with one user for each tenant: so locust spreads them over its workers, each tenant whole, in the order of their names."""
    made = {}
    for number, role in enumerate(plan.profile.seats(len(plan.seats))):
        name = f"Tenant{number:06d}"
        pace = constant_throughput(role.rate_per_second)
        members = {"number": number, "role": role, "fixed_count": 1, "wait_time": pace, "concurrency": role.workers, "abstract": False}
        made[name] = type(name, (Tenant,), members)
    return made


globals().update(tenant_classes(PLAN))


class Arrivals(LoadTestShape):
    """How many tenants take part at each moment of the profile."""

    def tick(self) -> tuple[int, float] | None:
        """Tenants now, to be there at once; None when the time is over."""
        share = self.get_run_time() / PLAN.seconds
        if share >= 1:
            return None
        tenants = len(PLAN.seats)
        return PLAN.profile.tenants_at(tenants, share), tenants


@events.report_to_master.add_listener
def hand_over(data: dict[str, Any], **_: Any) -> None:
    """Send the leading process what this one has seen."""
    data["loadtests"] = RECORDER.drain()


@events.worker_report.add_listener
def take_over(data: dict[str, Any], **_: Any) -> None:
    """Add what another process has seen."""
    merge(TOTAL, data["loadtests"])


@events.quitting.add_listener
def write_result(environment: Any, **_: Any) -> None:
    """Leave what was measured for the command that started the run; every tenant has ended by now."""
    if isinstance(environment.runner, LocalRunner):
        merge(TOTAL, RECORDER.drain())
    if not isinstance(environment.runner, WorkerRunner):
        result_path(PLAN_FILE).write_bytes(msgspec.json.encode(TOTAL))
