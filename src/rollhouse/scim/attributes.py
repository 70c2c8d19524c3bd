"""What add, replace and remove do to one declared attribute of a document (RFC 7644 sections 3.5.2.1 to 3.5.2.3)."""

from typing import Any, Literal

import msgspec

from rollhouse.scim import filters
from rollhouse.scim.comparison import comparable_element
from rollhouse.scim.conditions import All, AnyOf, Compared, Condition, Element, Not, Present, matches, resolve_value_filter
from rollhouse.scim.errors import InvalidFilter, InvalidPath, Mutability, NoTarget
from rollhouse.scim.schemas import Attribute, Reference
from rollhouse.scim.tolerances import Noted, Tolerance
from rollhouse.scim.values import Json, check_count, demote_primaries, is_unassigned, note_empty, read_any, read_value, read_values

Document = dict[str, Any]
Op = Literal["add", "replace", "remove"]


class Target(msgspec.Struct, frozen=True):
    """What a path names: an attribute, perhaps one sub-attribute of it, perhaps only the elements that a filter picks."""

    reference: Reference
    filter: filters.Filter | None = None

    @property
    def attribute(self) -> Attribute:
        """The attribute; the sub-attribute, if any, is `reference.sub`."""
        return self.reference.attribute

    def condition(self) -> Condition | None:
        """The filter, looked up.

        Raises:
            InvalidPath: it does not fit the attribute.
        """
        if self.filter is None:
            return None
        try:
            return resolve_value_filter(self.attribute, self.filter)
        except InvalidFilter as error:
            raise InvalidPath(error.detail) from error

    def picks(self, elements: list[Json]) -> list[int]:
        """The positions of the elements that the filter picks: all without one."""
        condition = self.condition()
        if condition is None:
            return list(range(len(elements)))
        names = _compared_names(condition)
        return [at for at, element in enumerate(elements) if matches(condition, comparable_element(self.attribute, _only(element, names)))]


def _compared_names(condition: Condition) -> frozenset[str]:
    """The sub-attributes that a value filter looks at, in lower case: nothing else of an element needs folding."""
    match condition:
        case Compared(field) | Present(field):
            return frozenset({field.leaf} if field.leaf else ())
        case Element(_, term) | Not(term):
            return _compared_names(term)
        case All(terms) | AnyOf(terms):
            return frozenset().union(*(_compared_names(term) for term in terms))


def _only(element: Json, names: frozenset[str]) -> Json:
    return {name: part for name, part in element.items() if name.lower() in names} if isinstance(element, dict) else element


def change_attribute(container: Document, op: Op, target: Target, value: Json, noted: Noted) -> None:
    """Carry out one operation on `container`, the resource or its extension object; `value` is None when there was none.

    Raises:
        InvalidPath, InvalidValue, Mutability, NoTarget: it cannot be carried out; the container may be half changed.
    """
    attribute = target.attribute
    before = container.get(attribute.name)
    if op == "remove" and attribute.multi_valued and target.filter is None and target.reference.sub is None and value not in (None, ""):
        _remove_listed(container, target, value, noted)
    elif op == "remove":
        _clear(container, target, noted)
    elif is_unassigned(value):
        noted.add(Tolerance.EMPTY_CLEARS)
        note_empty(target.reference.leaf, value, noted)
        if value != [] or op == "replace":
            _clear(container, target, noted)
    elif target.filter is not None:
        _change_elements(container, op, target, value, noted)
    elif attribute.multi_valued:
        _change_values(container, op, target, value, noted)
    else:
        _change_single(container, op, target, value, noted)
    check_immutable(attribute, before, container.get(attribute.name))


def check_immutable(attribute: Attribute, before: Json, after: Json) -> None:
    """Hold an attribute, and the parts of a single complex one, to the values that they have got.

    Raises:
        Mutability: one that is immutable had another value.
    """
    if attribute.mutability == "immutable" and before is not None and before != after:
        raise Mutability(f"{attribute.name} is immutable: once it has a value, that stays (RFC 7643 section 2.2).")
    if isinstance(before, dict):
        for sub in attribute.sub_attributes:
            check_immutable(sub, before.get(sub.name), after.get(sub.name) if isinstance(after, dict) else None)


def _change_single(container: Document, op: Op, target: Target, value: Json, noted: Noted) -> None:
    """A single-valued attribute or one part of it; parts that are not named stay (RFC 7644 section 3.5.2.3)."""
    attribute = target.attribute
    if target.reference.sub is not None:
        _put(container, attribute, _with_sub(container.get(attribute.name, {}), op, target, value, noted))
        return
    read = read_value(attribute, value, noted)
    if attribute.type == "complex":
        cleared = {sub.name for name, part in value.items() if is_unassigned(part) and (sub := attribute.sub(name))} if isinstance(value, dict) else set()
        read = {name: part for name, part in {**container.get(attribute.name, {}), **(read or {})}.items() if name not in cleared}
    _put(container, attribute, read)


def _change_values(container: Document, op: Op, target: Target, value: Json, noted: Noted) -> None:
    attribute = target.attribute
    current: list[Json] = container.get(attribute.name, [])
    if target.reference.sub is not None:  # emails.value without a filter: the preferred element, or a new one
        preferred = next((at for at, element in enumerate(current) if element.get("primary") is True), 0)
        changed = _with_sub(current[preferred] if current else {}, op, target, value, noted)
        _put(container, attribute, [*current[:preferred], changed, *current[preferred + 1 :]])
        return
    values = read_values(attribute, value, noted)
    if op != "replace" and (current or len(values) > 1):
        values = read_values(attribute, _joined(current, values, noted), noted)
    _put(container, attribute, values)


def _joined(current: list[Json], added: list[Json], noted: Noted) -> list[Json]:
    """Both lists as one; a value that is there already is brought up to date, not repeated (L13)."""
    joined = list(current)
    for element in added:
        at = next((at for at, other in enumerate(joined) if _is_same(element, other)), None)
        if at is None:
            joined.append(element)
        else:
            noted.add(Tolerance.DUPLICATE_VALUE)
            joined[at] = {**joined[at], **element} if isinstance(element, dict) else element
    return joined


def _is_same(element: Json, other: Json) -> bool:
    """Whether both are the same value of the same type; without a value they must be equal throughout."""
    if not isinstance(element, dict) or not isinstance(other, dict) or "value" not in element:
        return bool(element == other)
    return (element["value"], element.get("type")) == (other.get("value"), other.get("type"))


def _change_elements(container: Document, op: Op, target: Target, value: Json, noted: Noted) -> None:
    """The elements that the filter picks; when it picks none, one is made of the filter's own terms (L07)."""
    attribute = target.attribute
    elements = _elements(container, attribute)
    picked = target.picks(elements)
    if not picked:
        if elements and not attribute.multi_valued:
            raise NoTarget(f"The value of {attribute.name} does not match the filter.")
        elements.append(_element_from_filter(target, noted))
        check_count(attribute, elements)
        noted.add(Tolerance.CREATED_BY_FILTER)
        picked = [len(elements) - 1]
    for at in picked:
        elements[at] = _changed_element(elements[at], op, target, value, noted)
        if isinstance(elements[at], dict) and elements[at].get("primary") is True:
            demote_primaries(elements, at, noted)
    _put(container, attribute, [element for element in elements if not is_unassigned(element)] if attribute.multi_valued else elements[0])


def _changed_element(element: Json, op: Op, target: Target, value: Json, noted: Noted) -> Json:
    if target.reference.sub is not None:
        return _with_sub(element, op, target, value, noted)
    read = read_value(target.attribute, value, noted)
    if not isinstance(element, dict) or not isinstance(read, dict):
        return element if read is None else read
    kept = _element_from_filter(target, noted, strict=False) if op == "replace" and isinstance(value, dict) else element
    changed = {**kept, **read}
    for sub in target.attribute.sub_attributes:
        check_immutable(sub, element.get(sub.name), changed.get(sub.name))
    return changed


def _element_from_filter(target: Target, noted: Noted, *, strict: bool = True) -> Document:
    """The element that the equality terms of a filter describe: `[type eq "work"]` gives `{"type": "work"}`.

    A part that no client may write, or that is never returned, is not made of a filter either.

    Raises:
        NoTarget: `strict`, and the filter has other terms.
    """
    element: Document = {}
    tree = target.filter
    for term in tree.terms if isinstance(tree, filters.Conjunction) else (tree,):
        sub = target.attribute.sub(term.attribute) if isinstance(term, filters.Comparison) else None
        if isinstance(term, filters.Comparison) and term.operator == "eq" and sub is not None and sub.is_kept:
            element[sub.name] = None if term.value.parsed is None else read_any(sub, term.value.text, noted)
        elif strict:
            raise NoTarget(f"No value of {target.attribute.name} matches the filter, and it does not say by eq what a new one should be.")
    return {name: part for name, part in element.items() if not is_unassigned(part)}


def _with_sub(element: Document, op: Op, target: Target, value: Json, noted: Noted) -> Document:
    sub = target.reference.leaf
    read = read_any(sub, value, noted)
    if sub.multi_valued and op == "add":
        read = read_values(sub, _joined(element.get(sub.name, []), read or [], noted), noted)
    check_immutable(sub, element.get(sub.name), read)
    rest = {name: part for name, part in element.items() if name != sub.name}
    return rest if is_unassigned(read) else {**rest, sub.name: read}


def _clear(container: Document, target: Target, noted: Noted) -> None:
    """Unassign what the target names; nothing there to unassign is a success (L08, L10)."""
    attribute = target.attribute
    elements = _elements(container, attribute)
    picked = target.picks(elements)
    if not picked:
        noted.add(Tolerance.REMOVE_NOTHING if target.filter is None else Tolerance.REMOVE_UNMATCHED)
        return
    if attribute.required:
        raise Mutability(f"{attribute.name} is required and cannot be removed; replace it instead (RFC 7644 section 3.5.2.2).")
    kept = []
    for at, element in enumerate(elements):
        if at not in picked:
            kept.append(element)
        elif target.reference.sub is not None:
            rest = {name: part for name, part in element.items() if name != target.reference.leaf.name}
            if rest.keys() - {"type", "primary"} or not attribute.multi_valued:
                kept.append(rest)
    _put(container, attribute, kept if attribute.multi_valued else (kept[0] if kept else None))


def _remove_listed(container: Document, target: Target, value: Json, noted: Noted) -> None:
    """`remove` with a list of values takes those and leaves the others (L09)."""
    noted.add(Tolerance.REMOVE_WITH_VALUE)
    attribute = target.attribute
    listed = [comparable_element(attribute, element) for element in read_values(attribute, value, noted)]

    def is_listed(element: Json) -> bool:
        compared = comparable_element(attribute, element)
        return any(
            compared == one or (isinstance(one, dict) and "value" in one and isinstance(compared, dict) and compared.get("value") == one["value"])
            for one in listed
        )

    _put(container, attribute, [element for element in container.get(attribute.name, []) if not is_listed(element)])


def _elements(container: Document, attribute: Attribute) -> list[Json]:
    held = container.get(attribute.name)
    return list(held) if isinstance(held, list) else [] if held is None else [held]


def _put(container: Document, attribute: Attribute, value: Json) -> None:
    if is_unassigned(value):
        container.pop(attribute.name, None)
    else:
        container[attribute.name] = value
