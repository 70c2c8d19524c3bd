"""Whatever a tenant defines, stores and asks for: the SQL finds, orders and pages what the in-memory matcher does (the matcher is the oracle)."""

import itertools
import os
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rollhouse.database.pool import Database
from rollhouse.directory import bulk, resources
from rollhouse.directory.queries import Sort
from rollhouse.directory.resources import Query, Scope
from rollhouse.scim.comparison import comparable
from rollhouse.scim.conditions import field_of, matches, resolve_filter
from rollhouse.scim.filters import parse_filter
from rollhouse.scim.patching import read_document
from rollhouse.scim.schemas import ResourceType
from rollhouse.tenancy.tenants import Tenant
from tests.conftest import new_tenant
from tests.directory.generated import bodies, filters, ordered, resource_types, sort_value, sorters

CASES = int(os.environ.get("ROLLHOUSE_ORACLE_CASES", "1000"))
"""Filters that are tried; `ROLLHOUSE_ORACLE_CASES=10000 pytest tests/directory/test_oracle.py` for a night."""
FILTERS = 5
"""Filters on each generated schema and its resources: a list, twice sorted, twice paged."""
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
async def tenant_of_all(embedded_cluster: Any, database: Database) -> Tenant:
    return await new_tenant(database)


async def ids_of(scope: Scope, query: Query) -> list[UUID]:
    return [record.id for record in (await resources.list_resources(scope, query, with_relation=False)).records]


async def crawl_by_cursor(scope: Scope, query: Query, count: int) -> list[UUID]:
    """Every page, each behind the position where the one before ended."""
    found: list[UUID] = []
    after = None
    while True:
        page = await resources.list_resources(scope, Query(query.condition, query.sort, count=count, after=after), with_relation=False)
        found += [record.id for record in page.records]
        after = page.next
        if after is None:
            return found


async def crawl_by_index(scope: Scope, query: Query, count: int) -> list[UUID]:
    found: list[UUID] = []
    while True:
        page = await resources.list_resources(scope, Query(query.condition, query.sort, start_index=len(found) + 1, count=count), with_relation=False)
        found += [record.id for record in page.records]
        if len(found) >= page.total:
            return found


@given(data=st.data())
@settings(
    max_examples=CASES // FILTERS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
async def test_sql_finds_orders_and_pages_as_the_matcher_does(database: Database, tenant_of_all: Tenant, data: st.DataObject) -> None:
    drawn: ResourceType = data.draw(resource_types())
    resource_type = ResourceType(f"Thing{next(_numbers)}", drawn.endpoint, "", drawn.schema, drawn.extensions)
    documents = [read_document(resource_type, body, set())[0] for body in data.draw(st.lists(bodies(resource_type), min_size=1, max_size=9))]
    ids = await bulk.insert_resources(database, tenant_of_all.id, resource_type, documents)
    compared = [comparable(resource_type, document) for document in documents]
    scope = Scope(database, tenant_of_all.id, resource_type, "https://scim.example")
    for _ in range(FILTERS):
        text = data.draw(filters(resource_type))
        condition = resolve_filter(resource_type, parse_filter(text, set()))
        expected = [one for one, form in zip(ids, compared, strict=True) if matches(condition, form)]
        assert await ids_of(scope, Query(condition)) == sorted(expected), text

        name, descending = data.draw(sorters(resource_type)), data.draw(st.booleans())
        field = field_of(resource_type, name)
        forms = dict(zip(ids, compared, strict=True))
        in_order = ordered(expected, [sort_value(field, forms[one]) for one in expected], descending=descending)
        sorted_query = Query(condition, Sort(field, descending))
        count = data.draw(st.integers(1, 4))
        assert await ids_of(scope, sorted_query) == in_order, (text, name, descending)
        assert await crawl_by_cursor(scope, sorted_query, count) == in_order, (text, name, descending, count)
        assert await crawl_by_index(scope, sorted_query, count) == in_order, (text, name, descending, count)
        assert await crawl_by_cursor(scope, Query(condition), count) == sorted(expected), text
