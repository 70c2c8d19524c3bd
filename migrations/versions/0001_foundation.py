"""Tenants, credentials, resources, keys, memberships, counters, and one SQL function for each hot operation."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE FUNCTION rollhouse.current_tenant() RETURNS uuid
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
    DECLARE
        bound text := current_setting('rollhouse.tenant', true);
    BEGIN
        IF bound IS NULL OR bound = '' THEN
            RAISE EXCEPTION 'no tenant is bound to this transaction'
                USING ERRCODE = 'RH001', HINT = 'Call a rollhouse function, or set_config(''rollhouse.tenant'', <id>, true) first.';
        END IF;
        RETURN bound::uuid;
    END $$
    """,
    """
    CREATE TABLE rollhouse.tenants (
        id uuid PRIMARY KEY,
        slug text COLLATE "C" NOT NULL UNIQUE,
        name text NOT NULL,
        status text COLLATE "C" NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
        rate_per_second integer CHECK (rate_per_second >= 0),
        burst integer CHECK (burst >= 0),
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp())
    )
    """,
    """
    CREATE TABLE rollhouse.credentials (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id),
        id uuid NOT NULL,
        lookup_id text COLLATE "C" NOT NULL,
        mac bytea NOT NULL,
        pepper_version integer NOT NULL,
        label text,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        expires timestamptz,
        revoked timestamptz,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX credentials_lookup ON rollhouse.credentials (lookup_id)",
    """
    CREATE TABLE rollhouse.resources (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        resource_type text COLLATE "C" NOT NULL,
        document text NOT NULL,
        comparable jsonb NOT NULL,
        version bigint NOT NULL DEFAULT 1,
        created timestamptz NOT NULL,
        last_modified timestamptz NOT NULL,
        PRIMARY KEY (tenant_id, id)
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX resources_listing ON rollhouse.resources (tenant_id, resource_type, id)",
    """
    CREATE TABLE rollhouse.resource_keys (
        tenant_id uuid NOT NULL,
        resource_type text COLLATE "C" NOT NULL,
        attribute text COLLATE "C" NOT NULL,
        key text COLLATE "C" NOT NULL,
        resource_id uuid NOT NULL,
        is_unique boolean NOT NULL,
        PRIMARY KEY (tenant_id, resource_type, attribute, key, resource_id)
    )
    """,
    "CREATE UNIQUE INDEX resource_keys_unique ON rollhouse.resource_keys (tenant_id, resource_type, attribute, key) WHERE is_unique",
    # Led by the id, so that no plan can use it to walk a whole tenant (decision 0004).
    "CREATE INDEX resource_keys_by_resource ON rollhouse.resource_keys (resource_id, tenant_id)",
    """
    CREATE TABLE rollhouse.memberships (
        tenant_id uuid NOT NULL,
        group_id uuid NOT NULL,
        member_id uuid NOT NULL,
        member_type text COLLATE "C" NOT NULL,
        PRIMARY KEY (tenant_id, group_id, member_id),
        FOREIGN KEY (tenant_id, group_id) REFERENCES rollhouse.resources (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, member_id) REFERENCES rollhouse.resources (tenant_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX memberships_by_member ON rollhouse.memberships (tenant_id, member_id, group_id)",
    """
    CREATE TABLE rollhouse.resource_counts (
        tenant_id uuid NOT NULL,
        resource_type text COLLATE "C" NOT NULL,
        shard smallint NOT NULL,
        count bigint NOT NULL,
        PRIMARY KEY (tenant_id, resource_type, shard)
    ) WITH (fillfactor = 50)
    """,
)

TENANT_TABLES = ("resources", "resource_keys", "memberships", "resource_counts")

# The members of a group and the groups of a member as JSON text: built here so that a group of 100,000 does not hold up the
# event loop. Ids, the base URL and type names need no escaping.
RELATION = """CASE p_relation
                WHEN 'groups' THEN (
                    SELECT '[' || string_agg('{"value":"' || m.group_id || '","$ref":"' || p_base_url || '/Groups/' || m.group_id
                        || '","type":"direct"}', ',' ORDER BY m.group_id) || ']'
                    FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = r.id)
                WHEN 'members' THEN (
                    SELECT '[' || string_agg('{"value":"' || m.member_id || '","$ref":"' || p_base_url || '/' || m.member_type || 's/' || m.member_id
                        || '","type":"' || m.member_type || '"}', ',' ORDER BY m.member_id) || ']'
                    FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.group_id = r.id)
                END"""

READING = (
    """
    CREATE FUNCTION rollhouse.resolve_credential(p_lookup_id text)
    RETURNS TABLE (
        tenant_id uuid, credential_id uuid, slug text, name text, status text, rate_per_second integer, burst integer,
        mac bytea, pepper_version integer, expires timestamptz, revoked timestamptz
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT c.tenant_id, c.id, t.slug, t.name, t.status, t.rate_per_second, t.burst, c.mac, c.pepper_version, c.expires, c.revoked
        FROM rollhouse.credentials c JOIN rollhouse.tenants t ON t.id = c.tenant_id
        WHERE c.lookup_id = p_lookup_id;
    END
    """,
    f"""
    CREATE FUNCTION rollhouse.get_resource(p_tenant uuid, p_type text, p_id uuid, p_relation text, p_base_url text)
    RETURNS TABLE (id uuid, document text, version bigint, created timestamptz, last_modified timestamptz, relation text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        RETURN QUERY
            SELECT r.id, r.document, r.version, r.created, r.last_modified,
                   {RELATION}
            FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type;
    END $$
    """,
    f"""
    CREATE FUNCTION rollhouse.find_resources(
        p_tenant uuid, p_type text, p_attribute text, p_key text, p_limit integer, p_relation text, p_base_url text)
    RETURNS TABLE (id uuid, document text, version bigint, created timestamptz, last_modified timestamptz, relation text)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        RETURN QUERY
            SELECT r.id, r.document, r.version, r.created, r.last_modified,
                   {RELATION}
            FROM rollhouse.resource_keys k
            CROSS JOIN LATERAL (SELECT * FROM rollhouse.resources r WHERE r.tenant_id = k.tenant_id AND r.id = k.resource_id LIMIT 1) r
            WHERE k.tenant_id = p_tenant AND k.resource_type = p_type AND k.attribute = p_attribute AND k.key = p_key
            ORDER BY k.resource_id LIMIT p_limit;
    END $$
    """,
)

# Every statement in these functions has one good plan: by key, from the few rows named to the many stored. The planner
# does not see that, because the average tenant is small: it read all of a large tenant's rows to hash-join one member
# (docs/decisions/0004-plans.md), so hash and merge joins are switched off here, and plans are not made anew each time.
WRITING = (
    """
    CREATE FUNCTION rollhouse.add_members(p_tenant uuid, p_group uuid, p_members uuid[], OUT added bigint, OUT unknown uuid[])
    LANGUAGE plpgsql AS $$
    DECLARE
        found_members uuid[];
    BEGIN
        added := 0;
        IF cardinality(p_members) = 0 THEN
            RETURN;
        END IF;
        -- Sorted, so that two requests that name the same members lock them in the same order; locked, so that a member
        -- that is being deleted counts as unknown.
        WITH wanted AS (SELECT DISTINCT m AS id FROM unnest(p_members) m),
        known AS (
            SELECT r.id, r.resource_type FROM wanted w
            CROSS JOIN LATERAL (SELECT * FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = w.id LIMIT 1 FOR KEY SHARE) r
            WHERE r.resource_type IN ('User', 'Group') ORDER BY r.id
        ),
        inserted AS (
            INSERT INTO rollhouse.memberships (tenant_id, group_id, member_id, member_type)
            SELECT p_tenant, p_group, known.id, known.resource_type FROM known ON CONFLICT DO NOTHING RETURNING 1
        )
        SELECT (SELECT count(*) FROM inserted), (SELECT array_agg(known.id) FROM known) INTO added, found_members;
        unknown := ARRAY(SELECT m FROM unnest(p_members) m EXCEPT SELECT f FROM unnest(found_members) f);
        IF found_members IS NULL THEN
            RAISE EXCEPTION 'none of the members exists: %', left(array_to_string(unknown, ', '), 200) USING ERRCODE = 'RH422';
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION rollhouse.count_resources(p_tenant uuid, p_type text, p_change integer) RETURNS void
    LANGUAGE sql
    -- One counter row per backend slot: creates of one tenant do not queue on a single row.
    BEGIN ATOMIC
        INSERT INTO rollhouse.resource_counts AS c (tenant_id, resource_type, shard, count)
        VALUES (p_tenant, p_type, pg_backend_pid() % 16, p_change)
        ON CONFLICT (tenant_id, resource_type, shard) DO UPDATE SET count = c.count + p_change;
    END
    """,
    """
    CREATE FUNCTION rollhouse.create_resource(
        p_tenant uuid, p_type text, p_id uuid, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_members uuid[],
        OUT created timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        created := date_trunc('milliseconds', clock_timestamp());
        INSERT INTO rollhouse.resources (tenant_id, id, resource_type, document, comparable, created, last_modified)
        VALUES (p_tenant, p_id, p_type, p_document, p_comparable, created, created);
        INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)
        SELECT p_tenant, p_type, a, k, p_id, u FROM unnest(p_attributes, p_keys, p_unique) AS entry (a, k, u);
        IF cardinality(p_members) > 0 THEN
            unknown := (rollhouse.add_members(p_tenant, p_id, p_members)).unknown;
        END IF;
        PERFORM rollhouse.count_resources(p_tenant, p_type, 1);
    END $$
    """,
    """
    CREATE FUNCTION rollhouse.update_resource(
        p_tenant uuid, p_type text, p_id uuid, p_expected bigint, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_gone_attributes text[], p_gone_keys text[],
        p_clear_members boolean, p_add_members uuid[], p_remove_members uuid[],
        OUT version bigint, OUT created timestamptz, OUT last_modified timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        changed bigint := 0;
        touched bigint;
        member uuid;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        -- The row first, as delete_resource does: whoever changes the members of a group waits here and nowhere else, so that
        -- two replacements do not mix and a leaver's deletion does not deadlock with his removal.
        SELECT r.version, r.created, r.last_modified INTO version, created, last_modified FROM rollhouse.resources r
        WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'no such resource' USING ERRCODE = 'RH404';
        END IF;
        IF p_clear_members THEN
            p_remove_members := ARRAY(SELECT m.member_id FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.group_id = p_id
                EXCEPT SELECT kept FROM unnest(p_add_members) kept);
        END IF;
        -- One by one by the whole key: as one statement the planner reads the whole group, which it takes for a small one.
        FOREACH member IN ARRAY p_remove_members LOOP
            DELETE FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.group_id = p_id AND m.member_id = member;
            GET DIAGNOSTICS touched = ROW_COUNT;
            changed := changed + touched;
        END LOOP;
        IF cardinality(p_add_members) > 0 THEN
            SELECT a.added, a.unknown INTO touched, unknown FROM rollhouse.add_members(p_tenant, p_id, p_add_members) a;
            changed := changed + touched;
        END IF;
        IF p_document IS NULL AND changed = 0 THEN
            IF p_expected <> version THEN
                RAISE EXCEPTION 'the version is another' USING ERRCODE = 'RH412';
            END IF;
            RETURN;
        END IF;
        UPDATE rollhouse.resources r
        SET version = r.version + 1, last_modified = greatest(date_trunc('milliseconds', clock_timestamp()), r.last_modified),
            document = coalesce(p_document, r.document), comparable = coalesce(p_comparable, r.comparable)
        WHERE r.tenant_id = p_tenant AND r.id = p_id AND (p_expected IS NULL OR r.version = p_expected)
        RETURNING r.version, r.last_modified INTO version, last_modified;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the version is another' USING ERRCODE = 'RH412';
        END IF;
        IF cardinality(p_gone_keys) > 0 THEN
            DELETE FROM rollhouse.resource_keys k USING unnest(p_gone_attributes, p_gone_keys) AS gone (a, v)
            WHERE k.tenant_id = p_tenant AND k.resource_type = p_type AND k.attribute = gone.a AND k.key = gone.v AND k.resource_id = p_id;
        END IF;
        IF cardinality(p_keys) > 0 THEN
            INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)
            SELECT p_tenant, p_type, a, k, p_id, u FROM unnest(p_attributes, p_keys, p_unique) AS entry (a, k, u) ON CONFLICT (tenant_id, resource_type, attribute, key, resource_id) DO NOTHING;
        END IF;
    END $$
    """,
    """
    CREATE FUNCTION rollhouse.delete_resource(p_tenant uuid, p_type text, p_id uuid, p_expected bigint) RETURNS void
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        changed_group uuid;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        -- The groups lose a member, so their versions change; in order of id against deadlocks.
        FOR changed_group IN SELECT m.group_id FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = p_id AND m.group_id <> p_id ORDER BY m.group_id LOOP
            UPDATE rollhouse.resources r
            SET version = r.version + 1, last_modified = greatest(date_trunc('milliseconds', clock_timestamp()), r.last_modified)
            WHERE r.tenant_id = p_tenant AND r.id = changed_group;
        END LOOP;
        DELETE FROM rollhouse.resources r
        WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type AND (p_expected IS NULL OR r.version = p_expected);
        IF NOT FOUND THEN
            PERFORM FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = p_id AND r.resource_type = p_type;
            IF FOUND THEN
                RAISE EXCEPTION 'the version is another' USING ERRCODE = 'RH412';
            END IF;
            RAISE EXCEPTION 'no such resource' USING ERRCODE = 'RH404';
        END IF;
        DELETE FROM rollhouse.resource_keys k WHERE k.tenant_id = p_tenant AND k.resource_id = p_id;
        PERFORM rollhouse.count_resources(p_tenant, p_type, -1);
    END $$
    """,
)

GRANTS = (
    "GRANT USAGE ON SCHEMA rollhouse TO rollhouse_app",
    "GRANT SELECT ON rollhouse.alembic_version TO rollhouse_app",
    "GRANT SELECT, INSERT, UPDATE ON rollhouse.tenants TO rollhouse_app",
    # The app can list and revoke credentials, never read a MAC: that is for resolve_credential alone.
    "GRANT SELECT (tenant_id, id, lookup_id, pepper_version, label, created, expires, revoked) ON rollhouse.credentials TO rollhouse_app",
    "GRANT INSERT, UPDATE (label, expires, revoked) ON rollhouse.credentials TO rollhouse_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON rollhouse.resources, rollhouse.resource_keys, rollhouse.memberships, rollhouse.resource_counts TO rollhouse_app",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rollhouse FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rollhouse TO rollhouse_app",
)


def upgrade() -> None:
    """Create everything; `CREATE SCHEMA` stands in rollhouse.database.migrations, because the version table lives in it."""
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in TABLES:
        op.execute(statement)
    for table in TENANT_TABLES:
        op.execute(f"ALTER TABLE rollhouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON rollhouse.{table} USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
        )
    # Credentials are looked up before the tenant is known: the owner, and through it resolve_credential, may read them all.
    op.execute("ALTER TABLE rollhouse.credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant_isolation ON rollhouse.credentials TO rollhouse_app"
        " USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
    )
    op.execute("CREATE POLICY credential_lookup ON rollhouse.credentials FOR SELECT TO rollhouse_owner USING (true)")
    for statement in (*READING, *WRITING, *GRANTS):
        op.execute(statement)
