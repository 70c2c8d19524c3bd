"""The tables as SQLAlchemy Core describes them: what composed statements are built on and `alembic check` compares with."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import ForeignKeyConstraint

SCHEMA = "rollhouse"
METADATA = MetaData(schema=SCHEMA)
_C = Text(collation="C")
_MOMENT = DateTime(timezone=True)

TENANTS = Table(
    "tenants",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("slug", _C, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", _C, nullable=False),
    Column("rate_per_second", Integer),
    Column("burst", Integer),
    Column("created", _MOMENT, nullable=False),
)
CREDENTIALS = Table(
    "credentials",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("lookup_id", _C, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("pepper_version", Integer, nullable=False),
    Column("label", Text),
    Column("created", _MOMENT, nullable=False),
    Column("expires", _MOMENT),
    Column("revoked", _MOMENT),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("credentials_lookup", "lookup_id"),
)
RESOURCES = Table(
    "resources",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("id", Uuid, nullable=False),
    Column("resource_type", _C, nullable=False),
    Column("document", Text, nullable=False),
    Column("comparable", JSONB, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created", _MOMENT, nullable=False),
    Column("last_modified", _MOMENT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("resources_listing", "tenant_id", "resource_type", "id"),
)
RESOURCE_KEYS = Table(
    "resource_keys",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("resource_type", _C, nullable=False),
    Column("attribute", _C, nullable=False),
    Column("key", _C, nullable=False),
    Column("resource_id", Uuid, nullable=False),
    Column("is_unique", Boolean, nullable=False),
    PrimaryKeyConstraint("tenant_id", "resource_type", "attribute", "key", "resource_id"),
    Index("resource_keys_unique", "tenant_id", "resource_type", "attribute", "key", unique=True, postgresql_where=text("is_unique")),
    Index("resource_keys_by_resource", "tenant_id", "resource_id"),
)
MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("group_id", Uuid, nullable=False),
    Column("member_id", Uuid, nullable=False),
    Column("member_type", _C, nullable=False),
    PrimaryKeyConstraint("tenant_id", "group_id", "member_id"),
    ForeignKeyConstraint(["tenant_id", "group_id"], [RESOURCES.c.tenant_id, RESOURCES.c.id], ondelete="CASCADE"),
    ForeignKeyConstraint(["tenant_id", "member_id"], [RESOURCES.c.tenant_id, RESOURCES.c.id], ondelete="CASCADE"),
    Index("memberships_by_member", "tenant_id", "member_id", "group_id"),
)
RESOURCE_COUNTS = Table(
    "resource_counts",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("resource_type", _C, nullable=False),
    Column("shard", SmallInteger, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "resource_type", "shard"),
)
