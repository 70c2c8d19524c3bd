"""The request log, partitioned by day; what it adds up to for each tenant; and the erasure of the values of deleted people in it."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE rollhouse.requests (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        at timestamptz NOT NULL,
        request_id text NOT NULL,
        method text COLLATE "C" NOT NULL,
        path text NOT NULL,
        query text,
        status integer NOT NULL,
        microseconds integer NOT NULL,
        kind text COLLATE "C" NOT NULL,
        credential_id uuid,
        reason text COLLATE "C",
        scim_type text COLLATE "C",
        detail text,
        resource_type text COLLATE "C",
        resource_id uuid,
        looked_for bytea,
        user_agent text,
        tolerances text[] NOT NULL,
        request_body text,
        response_body text,
        PRIMARY KEY (tenant_id, id, at)
    ) PARTITION BY RANGE (at)
    """,
    "CREATE INDEX requests_of_resource ON rollhouse.requests (tenant_id, resource_id, id) WHERE resource_id IS NOT NULL",
    "CREATE INDEX requests_that_looked ON rollhouse.requests (tenant_id, looked_for) WHERE looked_for IS NOT NULL",
    "CREATE INDEX requests_that_failed ON rollhouse.requests (tenant_id, id) WHERE status >= 400",
    "CREATE INDEX requests_by_kind ON rollhouse.requests (tenant_id, kind, id) WHERE kind <> 'read'",
    # Counts, times, the client program's name and what was answered, no word of a person: the overview of all tenants is one statement, so they have no tenant bound.
    """
    CREATE TABLE rollhouse.request_hours (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        hour timestamptz NOT NULL,
        kind text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (tenant_id, hour, kind)
    )
    """,
    "CREATE INDEX request_hours_hour ON rollhouse.request_hours (hour)",
    """
    CREATE TABLE rollhouse.tenant_health (
        tenant_id uuid PRIMARY KEY REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        first_request timestamptz,
        last_request timestamptz,
        last_success timestamptz,
        last_failure timestamptz,
        failures_since_success bigint NOT NULL DEFAULT 0,
        first_write timestamptz,
        last_write timestamptz,
        cycles bigint NOT NULL DEFAULT 0,
        cycle_began timestamptz,
        previous_cycle_began timestamptz,
        client text COLLATE "C"
    )
    """,
    """
    CREATE TABLE rollhouse.request_failures (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        fingerprint text COLLATE "C" NOT NULL,
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (tenant_id, fingerprint)
    )
    """,
    "CREATE INDEX request_failures_last_seen ON rollhouse.request_failures (last_seen)",
    """
    CREATE TABLE rollhouse.headcounts (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id) ON DELETE CASCADE,
        day date NOT NULL,
        resource_type text COLLATE "C" NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (tenant_id, day, resource_type)
    )
    """,
    """
    CREATE TABLE rollhouse.erasures (
        tenant_id uuid NOT NULL,
        resource_id uuid NOT NULL,
        looked_for bytea[] NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (tenant_id, resource_id)
    )
    """,
)

BOUND = ("requests", "erasures")

FUNCTIONS = (
    # Days of the log: today's and those ahead are made, those past their time or beyond the size are dropped. Attached, not
    # created as partitions: that would lock the whole log against its writers.
    """
    CREATE FUNCTION rollhouse.keep_request_days(p_ahead integer, p_kept integer, p_bytes bigint) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
    DECLARE
        today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        day date;
        name text;
        size numeric;
        changed integer := 0;
    BEGIN
        PERFORM pg_advisory_xact_lock(7266, 1);
        FOR day IN SELECT today + n FROM generate_series(0, p_ahead) n LOOP
            name := 'requests_' || to_char(day, 'YYYYMMDD');
            IF to_regclass('rollhouse.' || name) IS NULL THEN
                EXECUTE format('CREATE TABLE rollhouse.%I (LIKE rollhouse.requests INCLUDING ALL)', name);
                EXECUTE format('ALTER TABLE rollhouse.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
                EXECUTE format('CREATE POLICY tenant_isolation ON rollhouse.%I USING (tenant_id = rollhouse.current_tenant())'
                    ' WITH CHECK (tenant_id = rollhouse.current_tenant())', name);
                EXECUTE format('ALTER TABLE rollhouse.requests ATTACH PARTITION rollhouse.%I FOR VALUES FROM (%L) TO (%L)',
                    name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
                changed := changed + 1;
            END IF;
        END LOOP;
        SELECT coalesce(sum(pg_total_relation_size(i.inhrelid)), 0) INTO size FROM pg_inherits i WHERE i.inhparent = 'rollhouse.requests'::regclass;
        FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'rollhouse.requests'::regclass AND to_date(right(c.relname, 8), 'YYYYMMDD') < today ORDER BY c.relname LOOP
            EXIT WHEN to_date(right(name, 8), 'YYYYMMDD') >= today - p_kept AND size <= p_bytes;
            size := size - pg_total_relation_size(('rollhouse.' || name)::regclass);
            EXECUTE format('DROP TABLE rollhouse.%I', name);
            changed := changed + 1;
        END LOOP;
        RETURN changed;
    END $$
    """,
    # Rows of many tenants at once, each named by the slug of its path, with what they add up to. A row of a path that names no
    # tenant is dropped. A failure without a secret of the tenant's says nothing about its provider: anybody can cause one. Its time is the database's: a row
    # comes with its age. The rows are read once for all four tables.
    """
    CREATE FUNCTION rollhouse.append_requests(p_rows jsonb, p_gap_seconds double precision) RETURNS SETOF uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        part record;
        health rollhouse.tenant_health;
        begins boolean;
        arrived timestamptz := clock_timestamp();
    BEGIN
        FOR part IN
            WITH sent AS MATERIALIZED (
                SELECT t.id AS tenant_id, arrived - make_interval(secs => r.age) AS at, r.*
                FROM jsonb_to_recordset(p_rows) AS r (slug text, age double precision, request_id text, method text, path text, query text,
                    status integer, microseconds integer, kind text, credential_id uuid, reason text, scim_type text, detail text,
                    resource_type text, resource_id uuid, looked_for text, user_agent text, tolerances text[], request_body text, response_body text)
                JOIN rollhouse.tenants t ON t.slug = r.slug
            ),
            logged AS (
                INSERT INTO rollhouse.requests (tenant_id, id, at, request_id, method, path, query, status, microseconds, kind, credential_id, reason,
                    scim_type, detail, resource_type, resource_id, looked_for, user_agent, tolerances, request_body, response_body)
                SELECT s.tenant_id, rollhouse.new_audit_id(s.at), s.at, s.request_id, s.method, s.path, s.query, s.status, s.microseconds, s.kind,
                    s.credential_id, s.reason, s.scim_type, s.detail, s.resource_type, s.resource_id, decode(s.looked_for, 'hex'), s.user_agent,
                    coalesce(s.tolerances, '{}'), s.request_body, s.response_body
                FROM sent s
            ),
            by_hour AS (
                INSERT INTO rollhouse.request_hours AS h (tenant_id, hour, kind, count)
                SELECT s.tenant_id, date_trunc('hour', s.at), s.kind, count(*) FROM sent s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
                ON CONFLICT (tenant_id, hour, kind) DO UPDATE SET count = h.count + excluded.count
            ),
            failed AS (
                INSERT INTO rollhouse.request_failures AS f (tenant_id, fingerprint, first_seen, last_seen, count)
                SELECT s.tenant_id, concat_ws(' ', s.method, coalesce(s.resource_type, '-'), s.status::text, coalesce(s.scim_type, s.reason)),
                    min(s.at), max(s.at), count(*)
                FROM sent s WHERE s.status >= 400 GROUP BY 1, 2 ORDER BY 1, 2
                ON CONFLICT (tenant_id, fingerprint) DO UPDATE SET last_seen = greatest(f.last_seen, excluded.last_seen), count = f.count + excluded.count
            )
            SELECT o.tenant_id, min(o.at) AS first_at, max(o.at) AS last_at,
                min(o.at) FILTER (WHERE o.is_success) AS first_success, max(o.at) FILTER (WHERE o.is_success) AS last_success,
                max(o.at) FILTER (WHERE o.is_failure) AS last_failure,
                min(o.at) FILTER (WHERE o.is_success AND o.kind <> 'read') AS first_write, max(o.at) FILTER (WHERE o.is_success AND o.kind <> 'read') AS last_write,
                count(*) FILTER (WHERE o.is_failure AND (o.succeeded IS NULL OR o.at > o.succeeded)) AS failures,
                (array_agg(left(o.user_agent, 100) ORDER BY o.at DESC) FILTER (WHERE o.is_success))[1] AS client
            FROM (SELECT s.tenant_id, s.at, s.kind, s.user_agent, s.status < 400 AS is_success, s.status >= 400 AND s.credential_id IS NOT NULL AS is_failure,
                    max(s.at) FILTER (WHERE s.status < 400) OVER (PARTITION BY s.tenant_id) AS succeeded
                FROM sent s) o
            GROUP BY o.tenant_id ORDER BY o.tenant_id
        LOOP
            INSERT INTO rollhouse.tenant_health (tenant_id, first_request) VALUES (part.tenant_id, part.first_at) ON CONFLICT DO NOTHING;
            SELECT h.* INTO health FROM rollhouse.tenant_health h WHERE h.tenant_id = part.tenant_id FOR UPDATE;
            -- A cycle begins with the first write there ever was, and then whenever a client comes back after a pause.
            begins := part.first_success IS NOT NULL AND CASE WHEN health.first_write IS NULL THEN part.first_write IS NOT NULL
                ELSE part.first_success - health.last_success > make_interval(secs => p_gap_seconds) END;
            UPDATE rollhouse.tenant_health h SET
                last_request = greatest(h.last_request, part.last_at),
                last_success = greatest(h.last_success, part.last_success),
                last_failure = greatest(h.last_failure, part.last_failure),
                failures_since_success = part.failures + CASE WHEN part.last_success IS NULL THEN h.failures_since_success ELSE 0 END,
                first_write = coalesce(h.first_write, part.first_write),
                last_write = greatest(h.last_write, part.last_write),
                cycles = h.cycles + begins::integer,
                previous_cycle_began = CASE WHEN begins THEN h.cycle_began ELSE h.previous_cycle_began END,
                cycle_began = CASE WHEN begins THEN part.first_success ELSE h.cycle_began END,
                client = CASE WHEN part.last_success IS NULL THEN h.client ELSE part.client END
            WHERE h.tenant_id = part.tenant_id;
            RETURN NEXT part.tenant_id;
        END LOOP;
    END $$
    """,
    # What the log says of people who were deleted a minute ago or more: their values go, the headline of the request stays.
    """
    CREATE FUNCTION rollhouse.erase_requests(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        gone record;
        erased bigint := 0;
    BEGIN
        FOR gone IN SELECT e.* FROM rollhouse.erasures e WHERE e.at < clock_timestamp() - interval '1 minute'
            ORDER BY e.tenant_id, e.resource_id LIMIT p_limit FOR UPDATE SKIP LOCKED LOOP
            UPDATE rollhouse.requests r SET query = NULL, detail = NULL, looked_for = NULL, request_body = NULL, response_body = NULL
            WHERE r.tenant_id = gone.tenant_id AND r.at <= gone.at + interval '5 seconds'
              -- Also by the names that it had before: requests about it left them.
              AND (r.resource_id = gone.resource_id OR r.looked_for = ANY (gone.looked_for || ARRAY(SELECT o.looked_for FROM rollhouse.requests o
                WHERE o.tenant_id = gone.tenant_id AND o.resource_id = gone.resource_id AND o.looked_for IS NOT NULL)));
            DELETE FROM rollhouse.erasures e WHERE e.tenant_id = gone.tenant_id AND e.resource_id = gone.resource_id;
            erased := erased + 1;
        END LOOP;
        RETURN erased;
    END $$
    """,
    # Counters past their time.
    """
    CREATE FUNCTION rollhouse.forget_old_counts(p_days integer) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        DELETE FROM rollhouse.request_hours h WHERE h.hour < clock_timestamp() - make_interval(days => p_days);
        DELETE FROM rollhouse.request_failures f WHERE f.last_seen < clock_timestamp() - make_interval(days => p_days);
        DELETE FROM rollhouse.headcounts h WHERE h.day < current_date - p_days;
    END
    """,
    # How many of each type every tenant has today: the maintained counters, kept for the charts.
    """
    CREATE FUNCTION rollhouse.count_heads() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        INSERT INTO rollhouse.headcounts AS h (tenant_id, day, resource_type, count)
        SELECT c.tenant_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, c.resource_type, sum(c.count)
        FROM rollhouse.resource_counts c GROUP BY c.tenant_id, c.resource_type ORDER BY c.tenant_id, c.resource_type
        ON CONFLICT (tenant_id, day, resource_type) DO UPDATE SET count = excluded.count WHERE h.count <> excluded.count;
    END
    """,
)

POLICIES = (
    *(f"ALTER TABLE rollhouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" for table in BOUND),
    *(
        f"CREATE POLICY tenant_isolation ON rollhouse.{table} TO rollhouse_app"
        " USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
        for table in BOUND
    ),
    *(f"CREATE POLICY owner_purge ON rollhouse.{table} FOR DELETE TO rollhouse_owner USING (true)" for table in BOUND),
    *(f"CREATE POLICY owner_read ON rollhouse.{table} FOR SELECT TO rollhouse_owner USING (true)" for table in BOUND),
    "CREATE POLICY owner_count ON rollhouse.resource_counts FOR SELECT TO rollhouse_owner USING (true)",
    "CREATE POLICY owner_append ON rollhouse.requests FOR INSERT TO rollhouse_owner WITH CHECK (true)",
    *(f"CREATE POLICY owner_erase ON rollhouse.{table} FOR UPDATE TO rollhouse_owner USING (true) WITH CHECK (true)" for table in BOUND),
)

LIFE = (
    # What holds rows of tenants, in the order in which a purge empties it: what refers to others first, the audit late. A
    # migration that adds a table replaces this list, not the purge.
    """
    CREATE FUNCTION rollhouse.tables_to_purge() RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN ARRAY['memberships', 'resource_keys', 'resources', 'resource_counts', 'credentials', 'oauth_clients', 'audit_roots', 'audit_chain', 'audit',
        'requests', 'erasures'];
    """,
    """
    CREATE OR REPLACE FUNCTION rollhouse.purge_tenant(p_tenant uuid, p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        gone bigint;
        emptied text;
    BEGIN
        PERFORM FROM rollhouse.tenants t WHERE t.id = p_tenant AND t.status = 'deleting' AND t.purge_after <= clock_timestamp() FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the tenant is not to be purged' USING ERRCODE = 'RH409';
        END IF;
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        FOREACH emptied IN ARRAY rollhouse.tables_to_purge() LOOP
            EXECUTE format('DELETE FROM rollhouse.%I WHERE ctid = ANY (ARRAY(SELECT ctid FROM rollhouse.%I WHERE tenant_id = $1 LIMIT $2)) AND tenant_id = $1',
                emptied, emptied) USING p_tenant, p_limit;
            GET DIAGNOSTICS gone = ROW_COUNT;
            IF gone > 0 THEN
                RETURN gone;
            END IF;
        END LOOP;
        DELETE FROM rollhouse.idempotency_keys k WHERE k.concerns = p_tenant;
        DELETE FROM rollhouse.tenants t WHERE t.id = p_tenant;
        RETURN 0;
    END $$
    """,
)

ERASURE = (
    # A deletion notes, in its own transaction, whose values are to leave the log; else as in the migration 0002.
    """
    CREATE OR REPLACE FUNCTION rollhouse.delete_resource(p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint) RETURNS void
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        changed_group uuid;
        parted uuid[] := '{}';
        was text;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        -- The groups lose a member, so their versions change; in order of id against deadlocks.
        FOR changed_group IN SELECT m.group_id FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = p_id AND m.group_id <> p_id ORDER BY m.group_id LOOP
            UPDATE rollhouse.resources r
            SET version = r.version + 1, last_modified = greatest(date_trunc('milliseconds', clock_timestamp()), r.last_modified)
            WHERE r.tenant_id = p_tenant AND r.id = changed_group;
            parted := parted || changed_group;
        END LOOP;
        IF p_type = 'Group' THEN
            parted := parted || ARRAY(SELECT m.member_id FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.group_id = p_id);
        END IF;
        DELETE FROM rollhouse.resources r
        WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type AND (p_expected IS NULL OR r.version = p_expected)
        RETURNING r.document INTO was;
        IF NOT FOUND THEN
            PERFORM FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type;
            IF FOUND THEN
                RAISE EXCEPTION 'the version is another' USING ERRCODE = 'RH412';
            END IF;
            RAISE EXCEPTION 'no such resource' USING ERRCODE = 'RH404';
        END IF;
        INSERT INTO rollhouse.erasures (tenant_id, resource_id, looked_for)
        SELECT p_tenant, p_id, ARRAY(SELECT substr(sha256(convert_to(k.key, 'UTF8')), 1, 16) FROM rollhouse.resource_keys k
            WHERE k.tenant_id = p_tenant AND k.resource_id = p_id);
        DELETE FROM rollhouse.resource_keys k WHERE k.tenant_id = p_tenant AND k.resource_id = p_id;
        PERFORM rollhouse.count_resources(p_tenant, p_type, -1);
        PERFORM rollhouse.append_audit(p_tenant, p_actor, p_request_id, 'resource.deleted', p_type, p_id::text, NULL, NULL, parted, was, NULL);
    END $$
    """,
)

GRANTS = (
    "GRANT SELECT ON rollhouse.requests, rollhouse.request_hours, rollhouse.tenant_health, rollhouse.request_failures, rollhouse.headcounts TO rollhouse_app",
    "GRANT SELECT, INSERT ON rollhouse.erasures TO rollhouse_app",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rollhouse FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rollhouse TO rollhouse_app",
)


def upgrade() -> None:
    """Only adds, save for two functions, which are replaced as a whole: the purge, and the deletion of a resource."""
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in (*TABLES, *POLICIES, *FUNCTIONS, *LIFE, *ERASURE, *GRANTS):
        op.execute(statement)
    op.execute("SELECT rollhouse.keep_request_days(3, 30, 8796093022208)")
