"""The tables behind the portal: people, their links and sessions, and what is counted and noticed for them."""

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, UniqueConstraint, Uuid
from sqlalchemy.schema import ForeignKeyConstraint

from rollhouse.database.tables import METADATA, MOMENT, ORDERED, RESOURCES, TENANTS

OPERATORS = Table(
    "operators",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_key", ORDERED, nullable=False, unique=True),
    Column("password_hash", Text),
    Column("totp_secret", LargeBinary),
    Column("pepper_version", Integer),
    Column("totp_last", BigInteger, nullable=False),
    Column("issuer", ORDERED),
    Column("subject", ORDERED),
    Column("created", MOMENT, nullable=False),
    Column("disabled", MOMENT),
    UniqueConstraint("issuer", "subject"),
)
MEMBERS = Table(
    "members",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id), nullable=False),
    Column("id", Uuid, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", ORDERED, nullable=False),
    Column("role", ORDERED, nullable=False),
    Column("issuer", ORDERED),
    Column("subject", ORDERED),
    Column("resource_id", Uuid),
    Column("created", MOMENT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "email_key"),
    UniqueConstraint("tenant_id", "issuer", "subject"),
)
SETUP_LINKS = Table(
    "setup_links",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id, ondelete="CASCADE"), nullable=False),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("provider", ORDERED, nullable=False),
    Column("created", MOMENT, nullable=False),
    Column("created_by", Text),
    Column("expires", MOMENT, nullable=False),
    Column("opened", MOMENT),
    Column("revoked", MOMENT),
    Column("step", Integer, nullable=False),
    Index("setup_links_of_tenant", "tenant_id", "id"),
)
SIGN_IN_LINKS = Table(
    "sign_in_links",
    METADATA,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("operator_id", Uuid, ForeignKey(OPERATORS.c.id, ondelete="CASCADE")),
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id, ondelete="CASCADE")),
    Column("member_id", Uuid),
    Column("expires", MOMENT, nullable=False),
    Column("used", MOMENT),
)
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("token_hash", LargeBinary, nullable=False, unique=True),
    Column("csrf", ORDERED, nullable=False),
    Column("operator_id", Uuid, ForeignKey(OPERATORS.c.id, ondelete="CASCADE")),
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id, ondelete="CASCADE")),
    Column("member_id", Uuid),
    Column("setup_link_id", Uuid, ForeignKey(SETUP_LINKS.c.id, ondelete="CASCADE")),
    Column("created", MOMENT, nullable=False),
    Column("last_seen", MOMENT, nullable=False),
    Column("authenticated", MOMENT, nullable=False),
    Column("expires", MOMENT, nullable=False),
    Index("sessions_expires", "expires"),
)
IDENTITY_PROVIDERS = Table(
    "identity_providers",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id), primary_key=True),
    Column("issuer", ORDERED, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("client_secret", LargeBinary),
    Column("pepper_version", Integer, nullable=False),
    Column("created", MOMENT, nullable=False),
)
HEADCOUNTS = Table(
    "headcounts",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id, ondelete="CASCADE"), nullable=False),
    Column("day", Date, nullable=False),
    Column("resource_type", ORDERED, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant_id", "day", "resource_type"),
)
GROUP_ROLES = Table(
    "group_roles",
    METADATA,
    Column("tenant_id", Uuid, nullable=False),
    Column("group_id", Uuid, nullable=False),
    Column("role", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "group_id"),
    ForeignKeyConstraint(["tenant_id", "group_id"], [RESOURCES.c.tenant_id, RESOURCES.c.id], ondelete="CASCADE"),
)
NOTICES = Table(
    "notices",
    METADATA,
    Column("tenant_id", Uuid, ForeignKey(TENANTS.c.id, ondelete="CASCADE"), nullable=False),
    Column("kind", ORDERED, nullable=False),
    Column("about", ORDERED, nullable=False),
    Column("at", MOMENT, nullable=False),
    PrimaryKeyConstraint("tenant_id", "kind", "about"),
)
ALL_TABLES = METADATA
"""Every table of the service: those of `tables`, and these."""
