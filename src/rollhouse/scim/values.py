"""One value as a client sent it becomes one value as it is stored: the declared type, every known malformation forgiven."""

import re
import sys
from typing import Any

import msgspec

from rollhouse.scim.errors import InvalidValue, check_characters, quoted
from rollhouse.scim.keys import fold_date_time, fold_text, read_number
from rollhouse.scim.schemas import Attribute
from rollhouse.scim.tolerances import Noted, Tolerance

TEXT_CHARACTERS_LIMIT = 4096
BINARY_CHARACTERS_LIMIT = 65_536
VALUES_LIMIT = 100
"""Values of one multi-valued attribute; members of a group have a limit of their own."""
INTEGER_LIMIT = 2**53
CHOICES_SHOWN = 10

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?|[A-Za-z0-9_-]*={0,2}")
"""Of either alphabet, padded or not (RFC 4648 sections 4 and 5)."""
_URI = re.compile(r"[!-~]+")
_FORMS = {"binary": _BASE64, "reference": _URI}
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")

_SUB_ALIASES = {"displayname": "display", "managerid": "value"}
"""L12 (Entra's roles say `displayName`) and OneLogin's `manager.managerId`; used only where the name is not declared."""

Json = Any


def is_unassigned(value: Json) -> bool:
    """Whether a value means "no value": null, an empty text, list or object (RFC 7643 section 2.5, L08)."""
    return value is None or (not value and isinstance(value, str | list | dict))


def note_empty(attribute: Attribute, value: Json, noted: Noted) -> None:
    """Note an empty value that is none of the attribute's type: an empty text for a boolean, an object for a text."""
    usual = list if attribute.multi_valued else {"complex": dict, "boolean": bool, "integer": int, "decimal": float}.get(attribute.type, str)
    if value is not None and not isinstance(value, usual | list):
        noted.add(Tolerance.VALUE_SHAPE)


def read_any(attribute: Attribute, value: Json, noted: Noted) -> Json:
    """What an attribute has after a value: a list of values if it is multi-valued; raises as `read_value`."""
    return read_values(attribute, value, noted) if attribute.multi_valued and not is_unassigned(value) else read_value(attribute, value, noted)


def read_values(attribute: Attribute, value: Json, noted: Noted) -> list[Json]:
    """The values of a multi-valued attribute in stored form, at most 100, with at most one primary (L11, L12, L13).

    Raises:
        InvalidValue: a value does not fit, or there are too many.
    """
    if not isinstance(value, list):
        noted.add(Tolerance.VALUE_SHAPE)
        value = [value]
    check_count(attribute, value)
    values = [read_value(attribute, element, noted) for element in value]
    kept = [element for element in values if not is_unassigned(element)]
    primaries = [at for at, element in enumerate(kept) if isinstance(element, dict) and element.get("primary") is True] if len(kept) > 1 else []
    if len(primaries) > 1:
        demote_primaries(kept, primaries[-1], noted)
    return kept


def check_count(attribute: Attribute, values: list[Json]) -> None:
    """Hold a multi-valued attribute to its limit.

    Raises:
        InvalidValue: it has more than 100 values.
    """
    if len(values) > VALUES_LIMIT:
        raise InvalidValue(f"{attribute.name} has {len(values)} values; at most {VALUES_LIMIT} are kept. Send fewer.")


def demote_primaries(values: list[Json], preferred: int, noted: Noted) -> None:
    """Leave `primary: true` on the value at `preferred` only (RFC 7643 section 2.4)."""
    for at, element in enumerate(values):
        if at != preferred and isinstance(element, dict) and element.get("primary") is True:
            values[at] = {**element, "primary": False}
            noted.add(Tolerance.DUPLICATE_VALUE)


def read_value(attribute: Attribute, value: Json, noted: Noted) -> Json:
    """One value (an element of a multi-valued attribute, or the whole of a single-valued one) in stored form; None if empty.

    Raises:
        InvalidValue: the value does not fit the attribute's type, or is too long.
    """
    if isinstance(value, list):
        if not value:
            return None
        noted.add(Tolerance.VALUE_SHAPE)
        return read_value(attribute, value[0], noted)
    if is_unassigned(value):
        note_empty(attribute, value, noted)
        return None
    if attribute.type == "complex":
        return _read_complex(attribute, value, noted)
    if isinstance(value, dict):
        inner: Json = next((part for name, part in value.items() if name.lower() == "value"), {})
        if isinstance(inner, dict | list):
            raise _misfit(attribute, value)
        noted.add(Tolerance.VALUE_SHAPE)
        return read_value(attribute, inner, noted)
    return _read_simple(attribute, value, noted)


def _read_complex(attribute: Attribute, value: Json, noted: Noted) -> dict[str, Json] | None:
    if isinstance(value, str) and attribute.name == "roles":
        value = _role_from_json(value, noted) or value
    if not isinstance(value, dict):
        if attribute.sub("value") is None:
            raise _misfit(attribute, value)
        noted.add(Tolerance.VALUE_SHAPE)
        value = {"value": value}
    element: dict[str, Json] = {}
    for name, part in value.items():
        if attribute.name == "roles" and name.lower() == "value" and isinstance(part, str) and (role := _role_from_json(part, noted)):
            element |= _read_complex(attribute, role, noted) or {}
            continue
        sub = attribute.sub(name) or attribute.sub(_SUB_ALIASES.get(name.lower(), ""))
        if sub is None:
            noted.add(Tolerance.UNKNOWN_ATTRIBUTE)
        elif sub.mutability == "readOnly":
            noted.add(Tolerance.READ_ONLY_IGNORED)
        elif not is_unassigned(read := read_any(sub, part, noted)) and sub.returned != "never":
            element[sub.name] = read
    return element or None


def _role_from_json(text: str, noted: Noted) -> dict[str, Json] | None:
    """The object that Entra's AppRoleAssignmentsComplex puts into a string (L12), or None for text that is no such object."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        role = msgspec.json.decode(text, type=dict[str, str | bool | int | float | None])
    except (msgspec.MsgspecError, RecursionError):
        return None
    noted.add(Tolerance.ROLE_JSON)
    return {name: part for name, part in role.items() if not isinstance(part, str) or not part.lstrip().startswith("{")}


def _read_simple(attribute: Attribute, value: Json, noted: Noted) -> Json:
    match attribute.type:
        case "boolean":
            return _read_boolean(attribute, value, noted)
        case "integer" | "decimal":
            return _read_number(attribute, value, noted)
        case "dateTime":
            if not isinstance(value, str) or fold_date_time(value) is None:
                raise InvalidValue(f"{attribute.name} must be a date and time such as 2026-01-23T04:56:22Z, not {quoted(value)}.")
            return value
        case _:
            text = _read_text(attribute, value, noted)
            if attribute.enforced:
                _check_text(attribute, text)
            elif attribute.type in _FORMS and _FORMS[attribute.type].fullmatch(text) is None:
                noted.add(Tolerance.LOOSE_FORM)
            return text


def _check_text(attribute: Attribute, text: str) -> None:
    """Hold a text to what a tenant's own schema says of it (RFC 7643 sections 2.3.6, 2.3.7 and 7).

    Raises:
        InvalidValue: it is none of `canonicalValues`, no base64, or no address of what `referenceTypes` name.
    """
    choices = attribute.canonical_values
    if choices and fold_text(text, case_exact=attribute.case_exact) not in {fold_text(one, case_exact=attribute.case_exact) for one in choices}:
        shown = ", ".join([*choices[:CHOICES_SHOWN], *(["..."] if len(choices) > CHOICES_SHOWN else [])])
        raise InvalidValue(f"{attribute.name} must be one of {shown}, not {quoted(text)}.")
    if attribute.type == "binary" and _BASE64.fullmatch(text) is None:
        raise InvalidValue(f"{attribute.name} is binary and must be base64, which {quoted(text)} is not (RFC 7643 section 2.3.6).")
    if attribute.type == "reference" and not _is_reference(attribute, text):
        kinds = ", ".join(attribute.reference_types) or "any address"
        example = f", as in {attribute.endpoints[0]}/ID" if attribute.endpoints else ""
        raise InvalidValue(f"{attribute.name} must be the URI of one of: {kinds}{example}; {quoted(text)} is not (RFC 7643 section 2.3.7).")


def _is_reference(attribute: Attribute, text: str) -> bool:
    if _URI.fullmatch(text) is None:
        return False
    if not attribute.reference_types or "uri" in attribute.reference_types or ("external" in attribute.reference_types and _ABSOLUTE.match(text)):
        return True
    return text.split("?", maxsplit=1)[0].rstrip("/").split("/")[-2:-1] in ([one] for one in attribute.endpoints)


def _read_boolean(attribute: Attribute, value: Json, noted: Noted) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        noted.add(Tolerance.TEXT_BOOLEAN)
        return value.strip().lower() == "true"
    raise InvalidValue(f"{attribute.name} must be true or false, not {quoted(value)}.")


def _read_number(attribute: Attribute, value: Json, noted: Noted) -> int | float:
    if isinstance(value, str):
        noted.add(Tolerance.NUMBER_TEXT)
        number = read_number(value.strip())
        if number is None:
            raise _misfit(attribute, value)
        value = number
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > sys.float_info.max:
        raise _misfit(attribute, value)
    if attribute.type == "integer" and (abs(value) > INTEGER_LIMIT or not float(value).is_integer()):
        raise InvalidValue(f"{attribute.name} must be a whole number within +-2^53, not {quoted(value)}.")
    return int(value) if attribute.type == "integer" else value


def _read_text(attribute: Attribute, value: Json, noted: Noted) -> str:
    if isinstance(value, bool | int | float):
        noted.add(Tolerance.NUMBER_TEXT)
        value = str(value).lower() if isinstance(value, bool) else str(value)
    if not isinstance(value, str):
        raise _misfit(attribute, value)
    check_characters(value)
    limit = BINARY_CHARACTERS_LIMIT if attribute.type == "binary" else TEXT_CHARACTERS_LIMIT
    if len(value) > limit:
        raise InvalidValue(f"{attribute.name} is {len(value)} characters long; at most {limit} are kept. Shorten it at its source.")
    return value


def _misfit(attribute: Attribute, value: Json) -> InvalidValue:
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else quoted(value)
    return InvalidValue(f"{attribute.name} is of type {attribute.type} and cannot be {shown}.")
