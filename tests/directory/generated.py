"""Generated schemas, resources of them, filters on them, and the order in which a sorted list has to be: what the SQL is held against."""

from typing import Any

from hypothesis import strategies as st

from rollhouse.scim.comparison import Comparable
from rollhouse.scim.conditions import Field, _found
from rollhouse.scim.definitions import EXTERNAL_ID, read_schema
from rollhouse.scim.schemas import Attribute, ResourceType, Schema

WORDS = ["ann", "Ann", "ANNA", "bob", "a%", "a_b", "straße", "STRASSE", "ﬁn", "x'y", 'q"q', "back\\slash", "10", "9", "😀", "é" * 300]
NUMBERS = [-3, 0, 1, 7, 10, 2**40]
DECIMALS = [-1.5, 0, 0.25, 3, 1e6]
MOMENTS = ["2026-01-23T04:56:22Z", "2026-01-23T05:56:22+01:00", "2026-01-23T04:56:22.5Z", "1999-12-31T23:59:59Z"]
BINARIES = ["QUJD", "abcd", "QUJE"]
KINDS = ("string", "boolean", "integer", "decimal", "dateTime", "binary", "reference")
POOLS: dict[str, list[Any]] = {
    "string": WORDS,
    "boolean": [True, False],
    "integer": NUMBERS,
    "decimal": DECIMALS,
    "dateTime": MOMENTS,
    "binary": BINARIES,
    "reference": ["https://x.example/a", "https://x.example/A", "urn:x:y"],
}
OPERATORS = {
    "string": ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"),
    "reference": ("eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"),
    "binary": ("eq", "ne", "co", "sw", "ew"),
    "boolean": ("eq", "ne"),
    "integer": ("eq", "ne", "gt", "ge", "lt", "le"),
    "decimal": ("eq", "ne", "gt", "ge", "lt", "le"),
    "dateTime": ("eq", "ne", "gt", "ge", "lt", "le"),
}
URN, EXTENSION_URN = "urn:example:params:scim:schemas:Thing", "urn:example:params:scim:schemas:extension:Thing"


@st.composite
def simple_attribute(draw: st.DrawFn, name: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(KINDS))
    marks = kind != "binary" and draw(st.booleans())
    return {"name": name, "type": kind, "multiValued": draw(st.booleans()), "caseExact": draw(st.booleans()), "indexed": marks}


@st.composite
def attribute(draw: st.DrawFn, name: str) -> dict[str, Any]:
    if draw(st.integers(0, 2)):
        return draw(simple_attribute(name))
    subs = [draw(simple_attribute(sub)) for sub in draw(st.lists(st.sampled_from(["value", "type", "note", "rank"]), min_size=1, max_size=3, unique=True))]
    if draw(st.booleans()):
        subs.append({"name": "primary", "type": "boolean"})
    return {"name": name, "type": "complex", "multiValued": draw(st.booleans()), "subAttributes": subs}


@st.composite
def resource_types(draw: st.DrawFn) -> ResourceType:
    """A resource type of up to five attributes of any kind, and an extension of up to two."""

    def schema(urn: str, names: list[str]) -> Schema:
        return read_schema({"id": urn, "name": "Thing", "attributes": [draw(attribute(name)) for name in names]})

    core = schema(URN, draw(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"]), min_size=1, max_size=5, unique=True)))
    core = Schema(core.id, core.name, core.description, (EXTERNAL_ID, *core.attributes))
    more = draw(st.lists(st.sampled_from(["alpha", "zeta"]), max_size=2, unique=True))
    return ResourceType("Thing", "Things", "", core, (schema(EXTENSION_URN, more),) if more else ())


def _value(draw: st.DrawFn, one: Attribute) -> Any:
    if one.type == "complex":
        made = {sub.name: _values(draw, sub) for sub in one.sub_attributes if draw(st.integers(0, 3))}
        return {name: value for name, value in made.items() if value not in (None, [])}
    return draw(st.sampled_from(POOLS[one.type]))


def _values(draw: st.DrawFn, one: Attribute) -> Any:
    if not one.multi_valued:
        return _value(draw, one)
    return [_value(draw, one) for _ in range(draw(st.integers(0, 3)))]


@st.composite
def bodies(draw: st.DrawFn, resource_type: ResourceType) -> dict[str, Any]:
    """What a client would send to make one resource."""
    body: dict[str, Any] = {}
    for schema in (resource_type.schema, *resource_type.extensions):
        made = {one.name: _values(draw, one) for one in schema.attributes if draw(st.integers(0, 3))}
        if schema is resource_type.schema:
            body |= made
        elif made:
            body[schema.id] = made
    return body


def _leaves(resource_type: ResourceType) -> list[tuple[str, Attribute]]:
    found = []
    for schema in (resource_type.schema, *resource_type.extensions):
        prefix = "" if schema is resource_type.schema else f"{schema.id}:"
        for one in schema.attributes:
            found += [(f"{prefix}{one.name}.{sub.name}", sub) for sub in one.sub_attributes] or [(prefix + one.name, one)]
    return found


def _complexes(resource_type: ResourceType) -> list[tuple[str, Attribute]]:
    schemas = (resource_type.schema, *resource_type.extensions)
    prefixes = ["" if one is resource_type.schema else f"{one.id}:" for one in schemas]
    return [(prefix + one.name, one) for prefix, schema in zip(prefixes, schemas, strict=True) for one in schema.attributes if one.type == "complex"]


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def _term(draw: st.DrawFn, leaves: list[tuple[str, Attribute]]) -> str:
    name, one = draw(st.sampled_from(leaves))
    if draw(st.integers(0, 5)) == 0:
        return f"{name} pr"
    value = draw(st.sampled_from(POOLS[one.type]))
    if one.type == "string" and draw(st.booleans()):
        value = value[: draw(st.integers(1, 3))].swapcase()
    return f"{name} {draw(st.sampled_from(OPERATORS[one.type]))} {_literal(value)}"


@st.composite
def _inside(draw: st.DrawFn, name: str, one: Attribute) -> str:
    """Several conditions on one element."""
    leaves = [(sub.name, sub) for sub in one.sub_attributes]
    terms = [draw(_term(leaves)) for _ in range(draw(st.integers(1, 3)))]
    joined = draw(st.sampled_from([" and ", " or "])).join(terms)
    return f"{name}[{f'not ({joined})' if draw(st.integers(0, 4)) == 0 else joined}]"


@st.composite
def filters(draw: st.DrawFn, resource_type: ResourceType) -> str:
    """A filter on anything that the type has, value paths, and, or and not included."""
    leaves, complexes = _leaves(resource_type), _complexes(resource_type)
    single: st.SearchStrategy[str] = _term(leaves)
    if complexes:
        single = st.one_of(single, st.sampled_from(complexes).flatmap(lambda one: _inside(*one)))
    many = st.recursive(
        single,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: f"({three[0]}) {three[1]} ({three[2]})"),
            inner.map(lambda one: f"not ({one})"),
        ),
        max_leaves=4,
    )
    return draw(many)


def sorters(resource_type: ResourceType) -> st.SearchStrategy[str]:
    """The name of an attribute to sort by."""
    return st.sampled_from([name for name, _ in _leaves(resource_type)])


def sort_value(field: Field, compared: Comparable) -> Any:
    """The value that a resource is ordered by: of several the primary one's, else the first's (RFC 7644 section 3.4.2.3)."""
    node: Any = compared
    for step in field.container:
        node = node.get(step) if isinstance(node, dict) else None
    if field.multi and isinstance(node, list) and not field.multi_leaf:
        primary = [one for one in node if isinstance(one, dict) and one.get("primary") is True]
        node = (primary or node or [None])[0]
        node = node.get(field.leaf) if field.leaf is not None and isinstance(node, dict) else node
    else:
        node = (_found(field, compared) or [None])[0]
    return str(node).lower() if isinstance(node, bool) else node


def ordered(ids: list[Any], values: list[Any], *, descending: bool) -> list[Any]:
    """The ids in the order of their values: absent ones last when ascending, first when descending; equal ones by id."""
    by_id = sorted(zip(ids, values, strict=True), key=lambda one: one[0])
    absent = [one for one, value in by_id if value is None]
    present = sorted(((one, value) for one, value in by_id if value is not None), key=lambda pair: pair[1], reverse=descending)
    if descending:  # reverse keeps the order of equal ones, which is by id
        return absent + [one for one, _ in present]
    return [one for one, _ in present] + absent
