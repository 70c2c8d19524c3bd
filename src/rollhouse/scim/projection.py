"""Which attributes an answer shows: `attributes` and `excludedAttributes` (RFC 7644 section 3.9)."""

from typing import Any

from rollhouse.scim.schemas import ResourceType

_ALWAYS = frozenset({"id", "schemas"})


class Projection:
    """What one request wants to see of a resource; names are compared in lower case, unknown ones ask for nothing."""

    def __init__(self, resource_type: ResourceType, attributes: str | None, excluded: str | None) -> None:
        self._type = resource_type
        self._wanted = self._names(attributes) if attributes and attributes.strip() else None
        self._unwanted = self._names(excluded) - _ALWAYS if excluded else frozenset()

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

    @property
    def shows_relation(self) -> bool:
        """Whether the attribute made of membership rows is wanted; if not, the rows are never read (invariant 3)."""
        name = self._type.relation
        if name is None or name in self._unwanted:
            return False
        return self._wanted is None or any(wanted.partition(".")[0] == name for wanted in self._wanted)

    @property
    def shows_document_as_stored(self) -> bool:
        """Whether the stored document can be shown byte for byte, the relation aside."""
        relation = self._type.relation
        return self._wanted is None and not {name for name in self._unwanted if name != relation} and not self._type.hides_some

    def _returned(self, name: str) -> str:
        attribute = self._type.schema.attribute(name)
        return attribute.returned if attribute is not None else "default"

    def apply(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The part of a whole resource that is to be shown; `id` and `schemas` always are."""
        shown: dict[str, Any] = {}
        for name, value in resource.items():
            key = name.lower()
            if key in _ALWAYS or self._returned(name) == "always":
                shown[name] = value
            elif self._returned(name) == "request" and (self._wanted is None or key not in self._wanted):
                continue
            elif key.startswith("urn:") and isinstance(value, dict):
                self._put(shown, name, self._extension(key, value))
            else:
                self._put(shown, name, self._attribute(key, value))
        return shown

    @staticmethod
    def _put(shown: dict[str, Any], name: str, value: Any) -> None:
        if value not in (None, {}, []):
            shown[name] = value

    def _extension(self, urn: str, value: dict[str, Any]) -> Any:
        if urn in self._unwanted:
            return None
        if self._wanted is not None and urn in self._wanted:
            return value
        return {name: part for name, inner in value.items() if (part := self._attribute(f"{urn}:{name.lower()}", inner)) not in (None, {}, [])}

    def _attribute(self, key: str, value: Any) -> Any:
        if key in self._unwanted:
            return None
        subs = None
        if self._wanted is not None and key not in self._wanted:
            subs = {name.removeprefix(key + ".") for name in self._wanted if name.startswith(key + ".")}
            if not subs:
                return None
        without = {name.removeprefix(key + ".") for name in self._unwanted if name.startswith(key + ".")}
        if subs is None and not without:
            return value
        return _parts(value, subs, without) if subs is None or isinstance(value, dict | list) else None


def _parts(value: Any, subs: set[str] | None, without: set[str]) -> Any:
    if isinstance(value, list):
        return [part for element in value if (part := _parts(element, subs, without))]
    if isinstance(value, dict):
        return {name: part for name, part in value.items() if (subs is None or name.lower() in subs) and name.lower() not in without}
    return value
