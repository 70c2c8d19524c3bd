"""The file that a tenant is exported to: NDJSON with a header, resources in order of id, then memberships; and its manifest."""

import hashlib
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, BinaryIO
from uuid import UUID

import msgspec

from rollhouse.scim.definitions import Definitions, TypeDefinition, described, read_resource_type, read_schema
from rollhouse.scim.errors import BadRequest, Conflict, InvalidValue
from rollhouse.scim.messages import encode
from rollhouse.scim.patching import read_document
from rollhouse.scim.registry import STANDARD, Registry
from rollhouse.scim.schemas import Schema
from rollhouse.tenancy.tenants import Tenant

FORMAT_VERSION = 2
"""What is written; 1, which has no definitions, is read, too."""
LINE_BYTES_LIMIT = 16 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
MANIFEST_SUFFIX = ".manifest.json"
_ECHO_LIMIT = 100
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="header"):
    """The first line; `tenant` and `slug` say where the rest comes from, `schemas` and `resource_types` are what that tenant had defined."""

    format_version: int
    tenant: UUID
    slug: str
    exported: Moment
    schemas: tuple[Schema, ...] = ()
    resource_types: tuple[TypeDefinition, ...] = ()

    @property
    def definitions(self) -> Definitions:
        """What the tenant had defined."""
        return Definitions({one.id.lower(): one for one in self.schemas}, {one.name: one for one in self.resource_types})


class StoredResource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="resource"):
    """A resource as it is stored; `document` byte by byte, without id, meta and memberships."""

    id: UUID
    type: str
    version: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    created: Moment
    last_modified: Moment
    document: msgspec.Raw


class Membership(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="line", tag="membership"):
    """One member of one group."""

    group: UUID
    member: UUID


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an export holds: `resources` counts each type, `sha256` is that of the whole file in hexadecimal."""

    format_version: int
    slug: str
    exported: Moment
    sha256: str
    resources: dict[str, int]
    memberships: int

    @property
    def lines(self) -> int:
        """The lines behind the header."""
        return sum(self.resources.values()) + self.memberships


Line = Header | StoredResource | Membership
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of U+0000, and not a backslash in front of u0000."""


class Tally:
    """What the lines so far amount to, and whether the next one may stand there."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.header: Header | None = None
        self.registry = STANDARD
        self.resources: dict[str, int] = {}
        self.memberships = 0
        self.last_id = UUID(int=0)
        self.last_pair = (UUID(int=0), UUID(int=0))

    def add(self, text: bytes, line: Line) -> None:
        """Count a line; `text` is the whole of it.

        Raises:
            InvalidValue: it may not stand there.
        """
        match line:
            case Header() if self.header is None:
                if not 1 <= line.format_version <= FORMAT_VERSION:
                    raise InvalidValue(f"its format is {line.format_version}, this service reads {FORMAT_VERSION}; import it with the version that wrote it.")
                _check_definitions(line)
                self.header, self.registry = line, line.definitions.registry(0)
            case StoredResource() if self.header is not None and not self.memberships and line.id > self.last_id:
                self.resources[line.type] = self.resources.get(line.type, 0) + 1
                self.last_id = line.id
            case Membership() if self.header is not None and (line.group, line.member) > self.last_pair:
                self.memberships += 1
                self.last_pair = (line.group, line.member)
            case _:
                raise InvalidValue("it is out of order: a header, then resources by id, then memberships by group and member. Export the tenant again.")
        self.sha256.update(text)


class Export:
    """An export under way: a `.part` file that takes whole lines, and becomes the export when it is complete."""

    def __init__(self, path: Path, file: BinaryIO, tally: Tally) -> None:
        self._path = path
        self._file = file
        self.tally = tally

    def write(self, lines: Sequence[Line]) -> None:
        """Append lines, in order."""
        texts = [encode(line) + b"\n" for line in lines]
        for text, line in zip(texts, lines, strict=True):
            self.tally.add(text, line)
        self._file.write(b"".join(texts))
        self._file.flush()

    def finish(self) -> Manifest:
        """The manifest, when both files are complete and safe on disk."""
        header = self.tally.header
        assert header is not None  # noqa: S101 - `open_export` has seen to it
        counts = {name: self.tally.resources.get(name, 0) for name in self.tally.registry.by_name}
        manifest = Manifest(FORMAT_VERSION, header.slug, header.exported, self.tally.sha256.hexdigest(), counts, self.tally.memberships)
        os.fsync(self._file.fileno())
        beside = manifest_path(self._path)
        with _part(beside).open("wb") as file:
            file.write(msgspec.json.format(encode(manifest)) + b"\n")
            os.fsync(file.fileno())
        # The manifest first: an export that has its name has its manifest.
        _part(beside).replace(beside)
        _part(self._path).replace(self._path)
        return manifest


@contextmanager
def open_export(tenant: Tenant, definitions: Definitions, path: Path) -> Iterator[Export]:
    """The tenant's export, with what it has defined, to `path`, begun or gone on with behind its last complete line; only its owner may read the file.

    Raises:
        Conflict: the file is there already, or a part of another tenant's export is.
        InvalidValue: a line of the part is not one of an export.
    """
    if path.exists():
        raise Conflict(f"{path} is there already: name another file, or remove it and {manifest_path(path).name} first.")
    try:
        descriptor = os.open(_part(path), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidValue(f"{_part(path)} cannot be written ({error.strerror}). Name a file in a folder that you may write to.") from None
    with os.fdopen(descriptor, "r+b") as file:
        _cut_behind_last_line(file)
        file.seek(0)
        tally = Tally()
        for _ in read_lines(file, tally):
            pass
        export = Export(path, file, tally)
        if tally.header is None:
            defined = tuple(definitions.schemas.values()), tuple(definitions.resource_types.values())
            export.write([Header(FORMAT_VERSION, tenant.id, tenant.slug, datetime.now(UTC), *defined)])
        elif tally.header.tenant != tenant.id:
            raise Conflict(f"{_part(path)} is the begun export of another tenant: name another file, or remove it.")
        yield export


def read_lines(file: BinaryIO, tally: Tally) -> Iterator[tuple[int, Line]]:
    """The lines with their numbers from 1, each counted in `tally`; one is in memory at a time.

    Raises:
        InvalidValue: a line is not one of an export, or stands in the wrong place; the detail names its number and the reason.
    """
    number = 0
    while text := file.readline(LINE_BYTES_LIMIT + 1):
        number += 1
        try:
            line = _decoded(text, tally.registry)
            tally.add(text, line)
        except InvalidValue as error:
            raise InvalidValue(f"Line {number} cannot be read: {error.detail}") from None
        yield number, line


def check_export(path: Path) -> Manifest:
    """The manifest beside the file, once the file is known to be the one that it describes.

    Raises:
        InvalidValue: one of the two is missing, or they do not belong together.
    """
    beside = manifest_path(path)
    try:
        manifest = msgspec.json.decode(beside.read_bytes(), type=Manifest)
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidValue(f"{error.filename} cannot be read ({error.strerror}). An export is two files: {path.name} and {beside.name}.") from None
    except msgspec.DecodeError as error:
        raise InvalidValue(f"{beside} is no manifest of an export ({error}). Copy both files again.") from None
    if not 1 <= manifest.format_version <= FORMAT_VERSION:
        raise InvalidValue(f"{path} has the format {manifest.format_version}, this service reads {FORMAT_VERSION}; import it with the version that wrote it.")
    if found != manifest.sha256:
        raise InvalidValue(f"{path} is not the file that {beside.name} describes: its SHA-256 is another. Copy both files again.")
    return manifest


def manifest_path(path: Path) -> Path:
    """Where the manifest of an export stands."""
    return path.with_name(path.name + MANIFEST_SUFFIX)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _decoded(text: bytes, registry: Registry) -> Line:
    if not text.endswith(b"\n"):
        reason = "it is too long" if len(text) > LINE_BYTES_LIMIT else "it is not complete"
        raise InvalidValue(f"{reason}. Export the tenant again.")
    try:
        line = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(f"{error}. Export the tenant again.") from None
    if isinstance(line, StoredResource):
        _check_resource(line, registry)
    return line


def _check_definitions(header: Header) -> None:
    """Hold what a file says that its tenant had defined to the rules for whoever defines something."""
    for schema in header.schemas:
        if read_schema(described(schema)) != schema:
            raise InvalidValue(f"its schema {schema.id} is none that could have been defined.")
    for one in header.resource_types:
        if read_resource_type(msgspec.to_builtins(one)) != one:
            raise InvalidValue(f"its resource type {one.name} is none that could have been defined.")


def _check_resource(line: StoredResource, registry: Registry) -> None:
    """Hold a document to what the directory relies on: an object with the required attributes, nothing that is kept beside it."""
    resource_type = registry.by_name.get(line.type)
    if resource_type is None:
        raise InvalidValue(f"there is no resource type of that name; there are {', '.join(registry.by_name)}.")
    try:
        document = msgspec.json.decode(line.document, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(f"the document is not JSON that can be stored ({error}).") from None
    required = {attribute.name for attribute in resource_type.schema.attributes if attribute.required} | {"schemas"}
    if missing := sorted(required - document.keys()):
        raise InvalidValue(f"the document lacks {', '.join(missing)}.")
    if extra := sorted({"id", "meta", resource_type.relation or "id"} & document.keys()):
        raise InvalidValue(f"the document holds {', '.join(extra)}, which are kept beside it.")
    if _NUL.search(bytes(line.document)):
        raise InvalidValue("the document holds a character that cannot be stored.")
    try:
        stored, _ = read_document(resource_type, document, set())
    except BadRequest as error:
        raise InvalidValue(f"the document could not have come in by SCIM: {error.detail}") from None
    if stored != document:
        changed = sorted(name for name in stored.keys() | document.keys() if stored.get(name) != document.get(name))
        raise InvalidValue(f"the document could not have come in by SCIM as it stands: see {', '.join(changed)[:_ECHO_LIMIT]}.")
    if any(_is_out_of_range(moment) for moment in (line.created, line.last_modified)):
        raise InvalidValue("a time is out of the years 1 to 9999.")


def _is_out_of_range(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return True
    return False


def _cut_behind_last_line(file: BinaryIO) -> None:
    """Remove what an interruption has left of a line."""
    end = file.seek(0, io.SEEK_END)
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            file.truncate(start + found + 1)
            return
        end = start
    file.truncate(0)
