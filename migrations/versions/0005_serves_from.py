"""From which release on the schema serves, so that the release before goes on while this one is rolled out; and which tenants wrote since a moment."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    # A revision that takes something away replaces this function in its own transaction (docs/decisions/0012-kubernetes.md).
    "CREATE FUNCTION rollhouse.serves_from() RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT '0004'$$",
    """
    CREATE FUNCTION rollhouse.tenants_written_since(p_since timestamptz) RETURNS TABLE (tenant_id uuid, changes bigint, last timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT a.tenant_id, count(*), max(a.at) FROM rollhouse.audit a WHERE a.at >= p_since GROUP BY a.tenant_id;
    END
    """,
    "REVOKE ALL ON FUNCTION rollhouse.serves_from, rollhouse.tenants_written_since FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION rollhouse.serves_from, rollhouse.tenants_written_since TO rollhouse_app",
)
"""Expand only: the release before runs on it unchanged."""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in STATEMENTS:
        op.execute(statement)
