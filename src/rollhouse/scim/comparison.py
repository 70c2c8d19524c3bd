"""The comparable form of a document: names in lower case, values folded; what filters, indexes and uniqueness look at."""

from typing import Any

from rollhouse.scim.keys import fold_date_time, fold_text, index_text
from rollhouse.scim.schemas import COMMON, Attribute, ResourceType

Comparable = dict[str, Any]
RARE = "false"
"""The key of a rare boolean."""
ABSENT = "absent:"
"""What the name of an expected value begins with where it is missing; the key is empty."""


def comparable(resource_type: ResourceType, document: dict[str, Any]) -> Comparable:
    """The document as filters see it: `{"username": "ann@acme.example", "emails": [{"value": ...}], "<urn>": {...}}`.

    Attributes that no schema declares are left out; extensions stand under their URN in lower case.
    """
    found: Comparable = {}
    core = resource_type.schema.by_name
    for name, value in document.items():
        attribute = core.get(name.lower()) or (COMMON["schemas"] if name == "schemas" else None)
        if attribute is not None:
            found[attribute.key] = _fold(attribute, value)
        elif (extension := resource_type.schemas.get(name.lower())) and isinstance(value, dict):
            inner = {}
            for key, part in value.items():
                declared = extension.attribute(key)
                if declared is not None:
                    inner[declared.key] = _fold(declared, part)
            found[extension.id.lower()] = inner
    return found


def comparable_element(attribute: Attribute, element: Any) -> Any:
    """One value of an attribute in comparable form, as value filters in a PATCH path see it."""
    return _fold_one(attribute, element)


def _fold(attribute: Attribute, value: Any) -> Any:
    if attribute.multi_valued and isinstance(value, list):
        return [_fold_one(attribute, element) for element in value]
    return _fold_one(attribute, value)


def _fold_one(attribute: Attribute, value: Any) -> Any:
    if isinstance(value, str):
        if attribute.type == "dateTime":
            return fold_date_time(value) or value
        return fold_text(value, case_exact=attribute.is_exact)
    if not isinstance(value, dict):
        return value
    subs = attribute.by_name
    return {key: _fold(sub, part) for name, part in value.items() if (sub := subs.get(key := name.lower())) is not None}


def path_of(urn: str | None, attribute: Attribute) -> tuple[str, ...]:
    """The steps from the top of the comparable form to an attribute."""
    return (urn.lower(), attribute.key) if urn else (attribute.key,)


def index_entries(resource_type: ResourceType, compared: Comparable) -> set[tuple[str, str]]:
    """The (index name, key) rows of a resource, e.g. `("emails.value", "ann@acme.example")`; long keys in their short form."""
    entries = {(name, RARE) for name in resource_type.rare if compared.get(name) is False}
    for name, steps in resource_type.index_paths.items():
        values = {(name, index_text(value)) for value in _values(compared, steps)}
        entries |= values or ({(ABSENT + name, "")} if name in resource_type.expected else set())
    return entries


def _values(node: Any, steps: tuple[str, ...]) -> list[str | bool | float]:
    if isinstance(node, list):
        return [found for element in node for found in _values(element, steps)]
    if steps:
        return _values(node.get(steps[0]), steps[1:]) if isinstance(node, dict) else []
    return [node] if node not in (None, "") and not isinstance(node, dict) else []
