"""A condition becomes SQL through SQLAlchemy Core: names through a closed map, values only ever bound, texts compiled once per shape."""

import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Float, FromClause, Select, Text, Uuid, and_, bindparam, cast, exists, false, func, literal_column, not_, or_, select, true
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH, asyncpg

from rollhouse.database.tables import MEMBERSHIPS, RESOURCE_KEYS, RESOURCES
from rollhouse.directory.relations import TENANT, relation_text
from rollhouse.scim.conditions import All, AnyOf, Compared, Condition, Element, Field, Not, Present
from rollhouse.scim.keys import KEY_BYTES_LIMIT, index_text
from rollhouse.scim.memberships import is_resource_id

SORTED_CHARACTERS = 512
"""What of a text its place in a sorted list is decided by: a cursor carries it."""
COMPILED_STATEMENTS = 1024
"""Bound of the cache of compiled texts; one per shape of filter, whatever its values."""

_NOBODY = UUID(int=0)
_SURROGATES = (0xD800, 0xDFFF)
META_TIME = 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'
"""How `meta` shows a time, such as 2026-01-23T04:56:22.000Z: Postgres writes it for a quarter of what reading and writing it here costs."""
CREATED = f"to_char(created AT TIME ZONE 'UTC', '{META_TIME}') AS created"
MODIFIED = f"to_char(last_modified AT TIME ZONE 'UTC', '{META_TIME}') AS last_modified"
_R = RESOURCES.alias("r")
_DIALECT = asyncpg.dialect()  # type: ignore[no-untyped-call]
_TYPE = bindparam("type", type_=Text)


class Sort(msgspec.Struct, frozen=True):
    """What a list is ordered by; without it, by id, which is the order of creation."""

    field: Field
    descending: bool = False


class Position(msgspec.Struct, frozen=True):
    """The resource behind which a page begins: its id and, of a sorted list, the value that it was sorted by as text, None without one."""

    id: UUID
    value: str | None = None


class Statement(msgspec.Struct, frozen=True):
    """SQL text and its arguments, in order."""

    sql: str
    arguments: list[Any]


class _Compiled(msgspec.Struct, frozen=True):
    sql: str
    names: tuple[str, ...]
    constants: dict[str, Any]


def page_statement(condition: Condition | None, sort: Sort | None, *, relation: str | None, after: Position | None = None, **bound: object) -> Statement:
    """The statement for one page, whose rows are records and, last, the value sorted by as text; `bound` gives tenant, type, base_url, limit, offset and most.

    With `after` it is the page behind that position, and costs the same wherever that is.
    """
    shape, values = _shape(condition)
    where: Where | None = None
    if after is not None:
        where = "id" if sort is None else "absent" if after.value is None else "value"
        values |= {"after": after.id, "after_value": _position_value(sort, after.value)}
    return _arguments(_compile_page(shape, sort, relation, where), {**bound, **values})


Where = Literal["id", "value", "absent"]
"""What a position is: an id, a value that is there and an id, or the absence of a value and an id."""


def _position_value(sort: Sort | None, text: str | None) -> object:
    if sort is None or text is None:
        return None
    if sort.field.source in ("created", "lastmodified"):
        return datetime.fromisoformat(text)
    if sort.field.source != "document":
        return UUID(text)
    return float(text) if sort.field.kind == "number" else text


def count_statement(condition: Condition, **bound: object) -> Statement:
    """The statement that counts what meets the condition; `bound` gives tenant and type."""
    shape, values = _shape(condition)
    return _arguments(_compile_count(shape), {**bound, **values})


def _arguments(compiled: _Compiled, values: dict[str, Any]) -> Statement:
    return Statement(compiled.sql, [values[name] if name in values else compiled.constants[name] for name in compiled.names])


def _shape(condition: Condition | None) -> tuple[Condition | None, dict[str, Any]]:
    """The condition with its values replaced by their places, and the values by place, as Postgres wants them."""
    values: dict[str, Any] = {}

    def place(node: Condition) -> Condition:
        match node:
            case Compared(field, operator, value):
                name = f"v{len(values)}"
                values[name] = _bound_value(field, operator, value)
                if field.index is not None and operator == "eq":
                    values[f"{name}_key"] = index_text(value)
                if _uses_prefix(field, operator, value):
                    values[f"{name}_end"] = after_prefix(str(value))
                    return Compared(field, operator, f"{name} prefix")
                return Compared(field, operator, name)
            case Element(container, inner):
                return Element(container, place(inner))
            case All(terms):
                return All(tuple(place(term) for term in terms))
            case AnyOf(terms):
                return AnyOf(tuple(place(term) for term in terms))
            case Not(term):
                return Not(place(term))
            case Present():
                return node

    return (place(condition) if condition is not None else None), values


def _bound_value(field: Field, operator: str, value: Any) -> Any:
    if field.source in ("created", "lastmodified"):
        return datetime.fromisoformat(str(value))
    if field.source != "document" and operator == "eq":
        return UUID(value) if is_resource_id(value) else _NOBODY
    if field.kind == "boolean":
        return "true" if value else "false"
    return value


def _uses_prefix(field: Field, operator: str, value: Any) -> bool:
    return operator == "sw" and field.index is not None and bool(field.container) and 0 < len(str(value).encode()) <= KEY_BYTES_LIMIT - 64


def after_prefix(prefix: str) -> str:
    """The first text, in code point order, behind every text that begins with the prefix."""
    for at in range(len(prefix) - 1, -1, -1):
        point = ord(prefix[at]) + 1
        if _SURROGATES[0] <= point <= _SURROGATES[1]:
            point = _SURROGATES[1] + 1
        if point <= sys.maxunicode:
            return prefix[:at] + chr(point)
    return chr(sys.maxunicode) * (len(prefix) + 1)


@lru_cache(maxsize=COMPILED_STATEMENTS)
def _compile_page(shape: Condition | None, sort: Sort | None, relation: str | None, where: Where | None) -> _Compiled:
    """First the ids of the page, then the documents and relations of those alone: what OFFSET skips is never encoded."""
    order = [*([_order(sort, _R)] if sort else []), _R.c.id]
    chosen = _where(select(_R.c.id), shape)
    if where is not None:
        chosen = chosen.where(_behind(sort, where))
    ids = chosen.order_by(*order).limit(bindparam("limit", type_=None)).offset(bindparam("offset", type_=None)).subquery("page")
    found = select(RESOURCES).where(RESOURCES.c.tenant_id == TENANT, RESOURCES.c.id == ids.c.id).limit(literal_column("1")).lateral("found")
    related: ColumnElement[Any] = literal_column("NULL::text")
    if relation is not None:
        related = relation_text(relation, found)
    position = cast(_sort_value(sort, found), Text) if sort else literal_column("NULL::text")
    times = (_time_text(found.c.created), _time_text(found.c.last_modified))
    columns = (found.c.id, found.c.document, found.c.version, *times, related.label("relation"), position.label("position"))
    shown = [*([_order(sort, found)] if sort else []), found.c.id]
    return _compile(select(*columns).select_from(ids.join(found, true())).order_by(*shown))


def _time_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.to_char(func.timezone(literal_column("'UTC'"), column), literal_column(f"'{META_TIME}'"))


def _behind(sort: Sort | None, where: Where) -> ColumnElement[bool]:
    """Whether a resource comes behind the position, in the order of `_order` and then of ids."""
    behind_id = _R.c.id > bindparam("after", type_=Uuid)
    if sort is None:
        return behind_id
    value = _sort_value(sort, _R)
    if where == "absent":
        absent = and_(value.is_(None), behind_id)
        return or_(absent, value.is_not(None)) if sort.descending else absent
    at = bindparam("after_value", type_=value.type)
    further = value < at if sort.descending else or_(value > at, value.is_(None))
    return or_(further, and_(value == at, behind_id))


@lru_cache(maxsize=COMPILED_STATEMENTS)
def _compile_count(shape: Condition) -> _Compiled:
    return _compile(_where(select(func.count()).select_from(_R), shape))


def _where(statement: Select[Any], shape: Condition | None) -> Select[Any]:
    statement = statement.where(_R.c.tenant_id == TENANT, _R.c.resource_type == _TYPE)
    return statement if shape is None else statement.where(_condition(shape))


def _compile(statement: Select[Any]) -> _Compiled:
    compiled = statement.compile(dialect=_DIALECT)
    return _Compiled(str(compiled), tuple(compiled.positiontup or ()), dict(compiled.params))


def _order(sort: Sort, rows: FromClause) -> ColumnElement[Any]:
    """Ascending puts absent values last, descending first (RFC 7644 section 3.4.2.3)."""
    value = _sort_value(sort, rows)
    return value.desc().nulls_first() if sort.descending else value.asc().nulls_last()


def _sort_value(sort: Sort, rows: FromClause) -> ColumnElement[Any]:
    if sort.field.source == "document":
        key = _sort_key(sort.field, rows)
        return key if sort.field.kind == "number" else func.left(key, SORTED_CHARACTERS).collate("C")
    value: ColumnElement[Any] = {"created": rows.c.created, "lastmodified": rows.c.last_modified}.get(sort.field.source, rows.c.id)
    return value


def _sort_key(field: Field, rows: FromClause) -> ColumnElement[Any]:
    """The value to order by; of a multi-valued attribute the primary one, else the first."""
    node = _node(field.container, rows)
    if field.multi_leaf:
        return _ordered_value(field, _text(func.jsonb_path_query_first(node, _leaf_path(field), type_=JSONB)))
    if not field.multi:
        return _ordered_value(field, _leaf(node, field))
    element = func.coalesce(
        func.jsonb_path_query_first(node, literal_column("'$[*] ? (@.primary == true)'::jsonpath"), type_=JSONB),
        node.op("->")(literal_column("0")),
        type_=JSONB,
    )
    return _ordered_value(field, _leaf(element, field))


def _condition(node: Condition) -> ColumnElement[bool]:
    match node:
        case Compared(field, operator, name):
            return _test(field, operator, str(name))
        case Present(field):
            return _present(field)
        case Element(container, inner):
            indexed = [_by_key(test.field, str(test.value)) for test in _indexed_tests(inner)]
            is_there = [] if container.multi else [_node(container.container).is_not(None)]
            return and_(*indexed, *is_there, _any_element(container, lambda element: _inside(inner, element)))
        case All(terms):
            return and_(true(), *(_condition(term) for term in terms))
        case AnyOf(terms):
            return or_(false(), *(_condition(term) for term in terms))
        case Not(term):
            return not_(_condition(term))


def _inside(node: Condition, element: ColumnElement[Any]) -> ColumnElement[bool]:
    """A condition about one element of a complex attribute."""
    match node:
        case Compared(field, operator, name):
            return _any_value(field, element, lambda value: _compared(field, operator, value, str(name)))
        case Present(field):
            return _any_value(field, element, lambda value: value.is_not(None))
        case All(terms):
            return and_(*(_inside(term, element) for term in terms))
        case AnyOf(terms):
            return or_(*(_inside(term, element) for term in terms))
        case Not(term):
            return not_(_inside(term, element))
        case Element():
            return false()  # the grammar has no brackets within brackets


def _indexed_tests(node: Condition) -> list[Compared]:
    """The equalities that every element in question meets and an index knows: they find the candidates."""
    terms = node.terms if isinstance(node, All) else (node,)
    return [term for term in terms if isinstance(term, Compared) and term.operator == "eq" and term.field.index is not None]


def _test(field: Field, operator: str, name: str) -> ColumnElement[bool]:
    if field.source == "id":
        return _R.c.id == bindparam(name, type_=Uuid) if operator == "eq" else _compared(field, operator, cast(_R.c.id, Text), name)
    if field.source in ("created", "lastmodified"):
        column = _R.c.created if field.source == "created" else _R.c.last_modified
        return _ordering(operator)(column, bindparam(name, type_=column.type))
    if field.source != "document":
        return _related(field, operator, name)
    if name.endswith(" prefix"):
        return _by_prefix(field, name.removesuffix(" prefix"))
    if field.index is not None and operator == "eq":
        return _by_key(field, name)
    return _any_element(field, lambda element: _any_value(field, element, lambda value: _compared(field, operator, value, name)))


def _present(field: Field) -> ColumnElement[bool]:
    if field.source in ("memberships", "derived"):
        return _related(field, "pr", "")
    if field.source != "document":
        return _R.c.id.is_not(None)
    if field.leaf is None:
        return _node(field.container).is_not(None)
    return _any_element(field, lambda element: _any_value(field, element, lambda value: value.is_not(None)))


def _by_key(field: Field, name: str) -> ColumnElement[bool]:
    return _key_rows(field, lambda key: key == bindparam(f"{name}_key", type_=Text))


def _by_prefix(field: Field, name: str) -> ColumnElement[bool]:
    return _key_rows(field, lambda key: and_(key >= bindparam(name, type_=Text), key < bindparam(f"{name}_end", type_=Text)))


def _key_rows(field: Field, meets: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    k = RESOURCE_KEYS.alias()
    attribute = bindparam(None, field.index, type_=Text)
    return _R.c.id.in_(select(k.c.resource_id).where(k.c.tenant_id == TENANT, k.c.resource_type == _TYPE, k.c.attribute == attribute, meets(k.c.key)))


def _related(field: Field, operator: str, name: str) -> ColumnElement[bool]:
    m = MEMBERSHIPS.alias()
    mine, other = (m.c.group_id, m.c.member_id) if field.source == "memberships" else (m.c.member_id, m.c.group_id)
    rows = select(mine).where(m.c.tenant_id == TENANT)
    if operator == "eq":
        return _R.c.id.in_(rows.where(other == bindparam(name, type_=Uuid)))
    if operator == "pr":
        return exists(rows.where(mine == _R.c.id))
    return exists(rows.where(mine == _R.c.id, _compared(field, operator, cast(other, Text), name)))


def _any_element(field: Field, meets: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    if not field.multi:
        return meets(_node(field.container))
    elements = func.jsonb_array_elements(_node(field.container), type_=JSONB).alias()
    return exists(select(literal_column("1")).select_from(elements).where(meets(elements.column)))


def _any_value(field: Field, element: ColumnElement[Any], meets: Callable[[ColumnElement[Any]], ColumnElement[bool]]) -> ColumnElement[bool]:
    """A condition about the value in an element, or about one of its values."""
    if not field.multi_leaf:
        return meets(_leaf(element, field))
    values = func.jsonb_path_query(element, _leaf_path(field), type_=JSONB).alias()
    return exists(select(literal_column("1")).select_from(values).where(meets(_text(values.column))))


def _leaf_path(field: Field) -> ColumnElement[Any]:
    """The way to every value of a sub-attribute that has several, in all elements."""
    return cast(bindparam(None, f'$[*]."{field.leaf}"[*]', type_=Text), JSONPATH)


def _node(steps: tuple[str, ...], rows: FromClause = _R) -> ColumnElement[Any]:
    node: ColumnElement[Any] = rows.c.comparable
    for step in steps:
        node = node[step]
    return node


def _leaf(node: ColumnElement[Any], field: Field) -> ColumnElement[Any]:
    """The value as text, NULL when absent."""
    if field.leaf is not None:
        value: ColumnElement[Any] = node[field.leaf].astext
        return value
    return _text(node)


def _text(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return value.op("#>>", return_type=Text)(literal_column("'{}'::text[]"))


def _ordered_value(field: Field, value: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(value, Float) if field.kind == "number" else value.collate("C")


def _compared(field: Field, operator: str, value: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The comparison as a condition that is never NULL, so that `not` inverts it."""
    wanted = bindparam(name.removesuffix(" prefix"), type_=Float if field.kind == "number" else Text)
    match operator:
        case "co":
            met: ColumnElement[bool] = func.strpos(value, wanted) > 0
        case "sw":
            met = func.starts_with(value, wanted)
        case "ew":
            met = func.right(value, func.length(wanted)) == wanted
        case _:
            met = _ordering(operator)(_ordered_value(field, value), wanted)
    return func.coalesce(met, false())


def _ordering(operator: str) -> Callable[[Any, Any], ColumnElement[bool]]:
    return {
        "eq": lambda left, right: left == right,
        "gt": lambda left, right: left > right,
        "ge": lambda left, right: left >= right,
        "lt": lambda left, right: left < right,
        "le": lambda left, right: left <= right,
    }[operator]
