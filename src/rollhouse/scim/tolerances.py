"""The names of what we forgive: each deviation of a real client that is accepted, with the reason for accepting it."""

from enum import StrEnum
from types import MappingProxyType

from rollhouse.scim.errors import BadRequest, InvalidFilter, InvalidPath, InvalidSyntax, InvalidValue, NoTarget


class Tolerance(StrEnum):
    """A named leniency (L-numbers: the tolerance matrix in docs/tolerances.md). Its value is the metric label."""

    OP_CASE = "op_case"
    """L01: Entra's older dialect writes "Add", "Replace", "Remove"; some clients write `operations`."""
    MESSAGE_SCHEMAS = "message_schemas"
    """L02: `schemas` is missing, carries unknown URNs, or names a PatchOp URN that no RFC knows."""
    TEXT_BOOLEAN = "text_boolean"
    """L03: Entra sends "True" and "False" as text."""
    NUMBER_TEXT = "number_text"
    """L04: a number where text is declared, or text where a number is."""
    BARE_EXTENSION_NAME = "bare_extension_name"
    """L05: an enterprise attribute (`manager`, `department`) without its URN, or with a misspelt one."""
    PATHLESS_KEYS = "pathless_keys"
    """L06: a PATCH without a path whose keys are dotted, bracketed or URN paths."""
    READ_ONLY_IGNORED = "read_only_ignored"
    """L06: `id`, `meta`, `groups` in a body: ignored, never an error."""
    CREATED_BY_FILTER = "created_by_filter"
    """L07: add or replace on a value filter that matches nothing creates the element."""
    EMPTY_CLEARS = "empty_clears"
    """L08: "" or null in a PATCH unassigns the attribute."""
    REMOVE_WITH_VALUE = "remove_with_value"
    """L09: "remove" with a value list removes the listed values only."""
    REMOVE_NOTHING = "remove_nothing"
    """L10: removing what is not there is a success."""
    REMOVE_UNMATCHED = "remove_unmatched"
    """L10: removing what a value filter picks is a success also when it picks nothing."""
    VALUE_SHAPE = "value_shape"
    """L11: one value as a list, a complex value as its bare text, a list as one object."""
    LOOSE_FORM = "loose_form"
    """A binary value that is no base64, or a reference that is no URI, is kept as sent where an RFC declares it."""
    ROLE_JSON = "role_json"
    """L12: Entra's app roles arrive as JSON inside a string, or with `displayName` for `display`."""
    DUPLICATE_VALUE = "duplicate_value"
    """L13: adding a value that is there already changes nothing; a second primary demotes the first."""
    EMPTY_OPERATIONS = "empty_operations"
    """L14: a PATCH without operations is a success that changes nothing."""
    UNKNOWN_ATTRIBUTE = "unknown_attribute"
    """L15: an attribute that no schema declares is ignored."""
    UNKNOWN_PATH = "unknown_path"
    """L15: a PATCH operation whose path no schema declares is ignored."""
    OPAQUE_EXTENSION = "opaque_extension"
    """L16: the data of an unknown extension URN is kept as sent."""
    FILTER_DIALECT = "filter_dialect"
    """L18: barewords, unescaped quotes, `emails[type eq "work"] eq "x"`."""
    TOMBSTONE = "tombstone"
    """L23: Entra renames a soft-deleted user to 32 hex characters + the old userName."""
    PLAIN_JSON = "plain_json"
    """L26, L27: `application/json`, `text/json` or no content type at all."""
    LOOSE_PATH = "loose_path"
    """L28: a double or trailing slash in the URL."""
    PAGE_BOUNDS = "page_bounds"
    """L31: a startIndex below 1, a negative count, a count above the page size."""
    UNKNOWN_MEMBER = "unknown_member"
    """Section 4 of the client catalogue: some members of a list cannot be resolved; the others are applied."""
    PASTED_BEARER = "pasted_bearer"
    """An administrator pasted the secret with its "Bearer " prefix or with white space."""


Noted = set[Tolerance]
"""The tolerances that one request needed, gathered while it is processed and counted by the HTTP edge."""


REFUSED: "MappingProxyType[Tolerance, tuple[type[BadRequest], str]]" = MappingProxyType(
    {
        Tolerance.OP_CASE: (InvalidSyntax, 'write "Operations", and "add", "remove" or "replace" in lower case (RFC 7644 section 3.5.2)'),
        Tolerance.MESSAGE_SCHEMAS: (InvalidSyntax, '"schemas" must name the schema of the message (RFC 7643 section 3)'),
        Tolerance.TEXT_BOOLEAN: (InvalidValue, "a boolean is true or false, not text (RFC 7643 section 2.3.2)"),
        Tolerance.NUMBER_TEXT: (InvalidValue, "numbers and text are not taken for each other (RFC 7643 section 2.3)"),
        Tolerance.BARE_EXTENSION_NAME: (InvalidPath, "an extension's attribute is named with its schema's URN (RFC 7644 section 3.10)"),
        Tolerance.PATHLESS_KEYS: (InvalidSyntax, "the names in a value are names of attributes, not paths (RFC 7644 section 3.5.2)"),
        Tolerance.CREATED_BY_FILTER: (NoTarget, "no value matches the filter of the path (RFC 7644 section 3.5.2.3)"),
        Tolerance.REMOVE_WITH_VALUE: (InvalidSyntax, '"remove" takes no value; name what to remove by a filter in its path (RFC 7644 section 3.5.2.2)'),
        Tolerance.REMOVE_UNMATCHED: (NoTarget, "no value matches the filter of the path (RFC 7644 section 3.12)"),
        Tolerance.VALUE_SHAPE: (InvalidValue, "a multi-valued attribute takes a list, a complex one an object, others neither (RFC 7643 section 2.3.8)"),
        Tolerance.LOOSE_FORM: (InvalidValue, "a binary value is base64, a reference a URI (RFC 7643 sections 2.3.6 and 2.3.7)"),
        Tolerance.ROLE_JSON: (InvalidValue, "an object stands as JSON, not as text that holds JSON"),
        Tolerance.EMPTY_OPERATIONS: (InvalidSyntax, "a PATCH needs at least one operation (RFC 7644 section 3.5.2)"),
        Tolerance.UNKNOWN_ATTRIBUTE: (InvalidSyntax, "an attribute is declared by no schema of the resource type; see /Schemas"),
        Tolerance.UNKNOWN_PATH: (InvalidPath, "the path names an attribute that no schema of the resource type declares; see /Schemas"),
        Tolerance.OPAQUE_EXTENSION: (InvalidSyntax, "a schema is not an extension of the resource type; see /ResourceTypes"),
        Tolerance.FILTER_DIALECT: (InvalidFilter, "values in a filter are JSON, and a value path ends with its bracket (RFC 7644 section 3.4.2.2)"),
        Tolerance.UNKNOWN_MEMBER: (InvalidValue, "a member is no resource of this tenant"),
    }
)
"""What a strict tenant is refused (the RFCs allow or demand the other tolerances), and the words of the refusal."""


class Strict(set[Tolerance]):
    """The tolerances of a request to a strict tenant: what the RFCs do not allow is refused where it would be noted."""

    def add(self, tolerance: Tolerance) -> None:
        """Note it.

        Raises:
            BadRequest: a strict tenant does not tolerate it; of the class that RFC 7644 table 9 has for it.
        """
        if tolerance in REFUSED:
            error, words = REFUSED[tolerance]
            raise error(f"This tenant is strict: {words}.")
        super().add(tolerance)
