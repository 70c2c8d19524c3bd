"""Who uses the portal: operators, members of tenants, sessions, one-time links to sign in, and links for those who set a connection up."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE rollhouse.operators (
        id uuid PRIMARY KEY,
        email text NOT NULL,
        email_key text COLLATE "C" NOT NULL UNIQUE,
        password_hash text,
        totp_secret bytea,
        pepper_version integer,
        totp_last bigint NOT NULL DEFAULT 0,
        issuer text COLLATE "C",
        subject text COLLATE "C",
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        disabled timestamptz,
        UNIQUE (issuer, subject)
    )
    """,
    """
    CREATE TABLE rollhouse.members (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id),
        id uuid NOT NULL,
        email text NOT NULL,
        email_key text COLLATE "C" NOT NULL,
        role text COLLATE "C" NOT NULL CHECK (role IN ('admin', 'viewer')),
        issuer text COLLATE "C",
        subject text COLLATE "C",
        resource_id uuid,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, email_key),
        UNIQUE (tenant_id, issuer, subject)
    )
    """,
    """
    CREATE TABLE rollhouse.setup_links (
        id uuid PRIMARY KEY,
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        token_hash bytea NOT NULL UNIQUE,
        provider text COLLATE "C" NOT NULL,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        created_by text,
        expires timestamptz NOT NULL,
        opened timestamptz,
        revoked timestamptz,
        step integer NOT NULL DEFAULT 1
    )
    """,
    "CREATE INDEX setup_links_of_tenant ON rollhouse.setup_links (tenant_id, id)",
    """
    CREATE TABLE rollhouse.sign_in_links (
        token_hash bytea PRIMARY KEY,
        operator_id uuid REFERENCES rollhouse.operators (id) ON DELETE CASCADE,
        tenant_id uuid REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        member_id uuid,
        expires timestamptz NOT NULL,
        used timestamptz,
        CHECK ((operator_id IS NULL) = (member_id IS NOT NULL AND tenant_id IS NOT NULL))
    )
    """,
    """
    CREATE TABLE rollhouse.sessions (
        id uuid PRIMARY KEY,
        token_hash bytea NOT NULL UNIQUE,
        csrf text COLLATE "C" NOT NULL,
        operator_id uuid REFERENCES rollhouse.operators (id) ON DELETE CASCADE,
        tenant_id uuid REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        member_id uuid,
        setup_link_id uuid REFERENCES rollhouse.setup_links (id) ON DELETE CASCADE,
        created timestamptz NOT NULL DEFAULT clock_timestamp(),
        last_seen timestamptz NOT NULL DEFAULT clock_timestamp(),
        authenticated timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires timestamptz NOT NULL,
        CHECK (num_nonnulls(operator_id, member_id, setup_link_id) = 1)
    )
    """,
    "CREATE INDEX sessions_expires ON rollhouse.sessions (expires)",
    """
    CREATE TABLE rollhouse.identity_providers (
        tenant_id uuid PRIMARY KEY REFERENCES rollhouse.tenants (id),
        issuer text COLLATE "C" NOT NULL,
        client_id text NOT NULL,
        client_secret bytea,
        pepper_version integer NOT NULL,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp())
    )
    """,
    """
    CREATE TABLE rollhouse.group_roles (
        tenant_id uuid NOT NULL,
        group_id uuid NOT NULL,
        role text NOT NULL,
        PRIMARY KEY (tenant_id, group_id),
        FOREIGN KEY (tenant_id, group_id) REFERENCES rollhouse.resources (tenant_id, id) ON DELETE CASCADE
    )
    """,
    # What administrators have been told by mail: ids and times, so that nobody is told twice.
    """
    CREATE TABLE rollhouse.notices (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        kind text COLLATE "C" NOT NULL,
        about text COLLATE "C" NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant_id, kind, about)
    )
    """,
    "CREATE INDEX credentials_that_end ON rollhouse.credentials (expires) WHERE revoked IS NULL AND kind <> 'access_token' AND expires IS NOT NULL",
)

BOUND = ("members", "identity_providers", "group_roles")

POLICIES = (
    *(f"ALTER TABLE rollhouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" for table in BOUND),
    *(
        f"CREATE POLICY tenant_isolation ON rollhouse.{table} TO rollhouse_app"
        " USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
        for table in BOUND
    ),
    *(f"CREATE POLICY owner_purge ON rollhouse.{table} FOR DELETE TO rollhouse_owner USING (true)" for table in BOUND),
    *(f"CREATE POLICY owner_read ON rollhouse.{table} FOR SELECT TO rollhouse_owner USING (true)" for table in BOUND),
)

LIFE = (
    """
    CREATE OR REPLACE FUNCTION rollhouse.tables_to_purge() RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN ARRAY['memberships', 'resource_keys', 'resources', 'resource_counts', 'credentials', 'oauth_clients', 'audit_roots', 'audit_chain', 'audit',
        'requests', 'erasures', 'members', 'identity_providers', 'group_roles'];
    """,
)

ENDING = (
    # Which tenants have a secret that ends soon, as a time alone: for the operator's overview, mails and metrics.
    """
    CREATE FUNCTION rollhouse.ending_credentials(p_days integer) RETURNS TABLE (tenant_id uuid, credential_id uuid, expires timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT c.tenant_id, c.id, c.expires FROM rollhouse.credentials c
        WHERE c.revoked IS NULL AND c.kind <> 'access_token' AND c.expires IS NOT NULL
          AND c.expires > clock_timestamp() AND c.expires < clock_timestamp() + make_interval(days => p_days)
        ORDER BY c.expires LIMIT 1000;
    END
    """,
    "REVOKE ALL ON FUNCTION rollhouse.ending_credentials FROM PUBLIC",
)

TAIL = (
    # The newest requests of all tenants, without what was sent or answered: those of the tenants that asked last, each read in order.
    """
    CREATE FUNCTION rollhouse.newest_requests(p_limit integer)
    RETURNS TABLE (slug text, id uuid, at timestamptz, method text, path text, status integer, microseconds integer, scim_type text, reason text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off
    BEGIN ATOMIC
        SELECT t.slug, r.id, r.at, r.method, r.path, r.status, r.microseconds, r.scim_type, r.reason
        FROM (SELECT h.tenant_id FROM rollhouse.tenant_health h WHERE h.last_request IS NOT NULL ORDER BY h.last_request DESC LIMIT least(p_limit, 100)) h
        JOIN rollhouse.tenants t ON t.id = h.tenant_id
        CROSS JOIN LATERAL (SELECT q.* FROM rollhouse.requests q WHERE q.tenant_id = h.tenant_id ORDER BY q.id DESC LIMIT least(p_limit, 100)) r
        ORDER BY r.id DESC LIMIT least(p_limit, 100);
    END
    """,
    "REVOKE ALL ON FUNCTION rollhouse.newest_requests FROM PUBLIC",
)

PEPPERS = (
    # What is sealed needs its pepper, too.
    """
    CREATE OR REPLACE FUNCTION rollhouse.pepper_versions() RETURNS TABLE (pepper_version integer, live bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT v, count(*) FROM (
            SELECT c.pepper_version AS v FROM rollhouse.credentials c
            WHERE c.revoked IS NULL AND (c.expires IS NULL OR c.expires > clock_timestamp())
            UNION ALL
            SELECT k.pepper_version FROM rollhouse.operator_keys k
            WHERE k.revoked IS NULL AND (k.expires IS NULL OR k.expires > clock_timestamp())
            UNION ALL
            SELECT p.pepper_version FROM rollhouse.identity_providers p WHERE p.client_secret IS NOT NULL
            UNION ALL
            SELECT o.pepper_version FROM rollhouse.operators o WHERE o.totp_secret IS NOT NULL
        ) used GROUP BY v ORDER BY v;
    END
    """,
)

GRANTS = (
    "GRANT SELECT, INSERT, UPDATE ON rollhouse.operators, rollhouse.setup_links TO rollhouse_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON rollhouse.members, rollhouse.identity_providers, rollhouse.group_roles, rollhouse.notices, rollhouse.sign_in_links, rollhouse.sessions TO rollhouse_app",
    "GRANT EXECUTE ON FUNCTION rollhouse.ending_credentials, rollhouse.newest_requests TO rollhouse_app",
)


def upgrade() -> None:
    """Only adds, save for the list of what a purge empties."""
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in (*TABLES, *POLICIES, *LIFE, *ENDING, *TAIL, *PEPPERS, *GRANTS):
        op.execute(statement)
