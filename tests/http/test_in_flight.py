"""How many requests of one tenant a process works on at once, and what happens to the next."""

import asyncio

import pytest

from rollhouse.database.identifiers import new_id
from rollhouse.http import service as service_module
from rollhouse.http.gates import _wait_in_flight
from rollhouse.http.service import IN_FLIGHT, IN_FLIGHT_OF_A_TENANT, Service
from rollhouse.scim.errors import TooManyRequests, Unavailable
from rollhouse.settings import Settings
from rollhouse.tenancy.secrets import new_pepper
from rollhouse.tenancy.tenants import Tenant


def a_tenant(slug: str) -> Tenant:
    return Tenant(id=new_id(), slug=slug, name=slug, status="active")


async def enter(service: Service, tenant: Tenant) -> None:
    """As the gate does."""
    if not service.in_flight.take(tenant.id):
        await _wait_in_flight(service, tenant)


@pytest.fixture
def assembled(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(service_module, "IN_FLIGHT_WAIT_SECONDS", 0.05)
    return Service(Settings(database_url="postgresql://nobody@/none", peppers=new_pepper(), public_url="https://scim.example"))


async def test_a_tenant_waits_for_its_own_requests_and_is_then_told_to_slow_down(assembled: Service) -> None:
    acme, globex = a_tenant("acme"), a_tenant("globex")
    for _ in range(IN_FLIGHT_OF_A_TENANT):
        await enter(assembled, acme)

    waiting = asyncio.create_task(enter(assembled, acme))
    await asyncio.sleep(0)
    assert not waiting.done()
    assembled.in_flight.leave(acme.id)
    await asyncio.wait_for(waiting, 1)

    with pytest.raises(TooManyRequests) as refusal:
        await enter(assembled, acme)
    assert (refusal.value.status, refusal.value.retry_after_seconds) == (429, 2)
    await enter(assembled, globex)


async def test_when_the_whole_process_is_full_nobody_is_blamed(assembled: Service) -> None:
    for number in range(IN_FLIGHT // IN_FLIGHT_OF_A_TENANT):
        tenant = a_tenant(f"tenant-{number}")
        for _ in range(IN_FLIGHT_OF_A_TENANT):
            await enter(assembled, tenant)

    with pytest.raises(Unavailable) as refusal:
        await enter(assembled, a_tenant("late"))
    assert refusal.value.retry_after_seconds
