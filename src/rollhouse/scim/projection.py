"""Which attributes an answer shows: `attributes` and `excludedAttributes` (RFC 7644 section 3.9) and what `returned` says (RFC 7643 section 2.2)."""

from typing import Any

from rollhouse.scim.schemas import COMMON, Attribute, ResourceType, Schema

_ALWAYS = frozenset({"id", "schemas"})


class Projection:
    """What one request wants to see of a resource; names are compared in lower case, unknown ones ask for nothing.

    `written` are index names of what the request itself gave values to: attributes that are shown on request only are shown then, too.
    """

    def __init__(self, resource_type: ResourceType, attributes: str | None, excluded: str | None, *, written: frozenset[str] = frozenset()) -> None:
        self._type = resource_type
        self._written = written
        self._wanted = self._names(attributes) if attributes and attributes.strip() else None
        self._unwanted = self._names(excluded) - _ALWAYS if excluded else frozenset()
        self.shows_relation = self._shows_relation()
        """Whether the attribute made of membership rows is wanted; if not, the rows are never read (invariant 3)."""
        self.shows_document_as_stored = self._wanted is None and not self._unwanted - {resource_type.relation} and not resource_type.shown_on_request
        """Whether the stored document can be shown byte for byte, the relation aside."""

    def _names(self, text: str) -> frozenset[str]:
        names = set()
        for part in text.split(","):
            urn, rest = self._type.split_urn(part.strip())
            attribute, _, sub = rest.partition(".")
            found = self._type.find(urn, attribute, sub or None) if attribute else None
            if found is not None:
                names.add(found.index_name)
            elif part.strip():
                names.add(part.strip().lower())
        return frozenset(names)

    def _shows_relation(self) -> bool:
        name = self._type.relation
        if name is None or name in self._unwanted:
            return False
        return self._wanted is None or any(wanted.partition(".")[0] == name for wanted in self._wanted)

    def apply(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The part of a whole resource that is to be shown; `id` and `schemas` always are."""
        shown: dict[str, Any] = {}
        for name, value in resource.items():
            key = name.lower()
            if key in _ALWAYS:
                shown[name] = value
            elif key.startswith("urn:") and isinstance(value, dict):
                self._put(shown, name, self._extension(key, value, self._type.schemas.get(key)))
            else:
                self._put(shown, name, self._attribute(key, self._type.schema.attribute(name) or COMMON.get(key), value, whole=False))
        return shown

    @staticmethod
    def _put(shown: dict[str, Any], name: str, value: Any) -> None:
        if value not in (None, {}, []):
            shown[name] = value

    def _extension(self, urn: str, value: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
        whole = self._wanted is not None and urn in self._wanted
        if schema is None and (whole or self._wanted is None) and not any(name.startswith(urn) for name in self._unwanted):
            return value  # as it was sent (L16)
        shown: dict[str, Any] = {}
        for name, inner in value.items():
            attribute = schema.attribute(name) if schema is not None else None
            if urn not in self._unwanted or (attribute is not None and attribute.returned == "always"):
                self._put(shown, name, self._attribute(f"{urn}:{name.lower()}", attribute, inner, whole=whole))
        return shown

    def _attribute(self, key: str, attribute: Attribute | None, value: Any, *, whole: bool) -> Any:
        """What is shown of an attribute or sub-attribute, None for nothing; `whole` if that which holds it was asked for by name."""
        returned = attribute.returned if attribute is not None else "default"
        is_named = self._wanted is not None and key in self._wanted
        has_named = self._wanted is not None and any(name.startswith(key + ".") for name in self._wanted)
        is_usual = returned == "default" and (self._wanted is None or whole)
        is_written = returned == "request" and self._wanted is None and key in self._written
        is_shown = returned == "always" or is_named or has_named or is_usual or is_written
        if returned == "never" or not is_shown or (key in self._unwanted and returned != "always"):
            return None
        whole = is_named or is_usual or is_written or returned == "always"
        if isinstance(value, list):
            parts = [self._parts(key, attribute, element, whole=whole) for element in value]
            return [part for part in parts if part not in (None, {})]
        return self._parts(key, attribute, value, whole=whole)

    def _parts(self, key: str, attribute: Attribute | None, value: Any, *, whole: bool) -> Any:
        """One value, a complex one with those of its parts that are shown."""
        if not isinstance(value, dict):
            return value if whole else None
        shown: dict[str, Any] = {}
        for name, part in value.items():
            sub = attribute.sub(name) if attribute is not None else None
            self._put(shown, name, self._attribute(f"{key}.{name.lower()}", sub, part, whole=whole))
        return shown
