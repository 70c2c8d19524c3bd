"""A tenant's own schemas and resource types, its profile, the subject of a credential, and groups through other groups."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    "ALTER TABLE rollhouse.tenants ADD COLUMN profile text NOT NULL DEFAULT '{}', ADD COLUMN registry bigint NOT NULL DEFAULT 0",
    "ALTER TABLE rollhouse.credentials ADD COLUMN subject_id uuid",
    """
    CREATE TABLE rollhouse.schemas (
        tenant_id uuid NOT NULL,
        urn text COLLATE "C" NOT NULL,
        definition text NOT NULL,
        PRIMARY KEY (tenant_id, urn)
    )
    """,
    """
    CREATE TABLE rollhouse.resource_types (
        tenant_id uuid NOT NULL,
        name text COLLATE "C" NOT NULL,
        definition text NOT NULL,
        PRIMARY KEY (tenant_id, name)
    )
    """,
)
BOUND = ("schemas", "resource_types")

REGISTRY = (
    # Whoever writes a resource holds the tenant's registry as it was read by; whoever changes the registry holds it alone.
    """
    CREATE FUNCTION rollhouse.hold_registry(p_tenant uuid, p_registry bigint) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('registry:' || p_tenant::text, 0));
        IF (SELECT t.registry FROM rollhouse.tenants t WHERE t.id = p_tenant) <> p_registry THEN
            RAISE EXCEPTION 'the registry is another' USING ERRCODE = 'RH503';
        END IF;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION rollhouse.tables_to_purge() RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    RETURN ARRAY['memberships', 'resource_keys', 'resources', 'resource_counts', 'credentials', 'oauth_clients', 'audit_roots', 'audit_chain', 'audit',
        'requests', 'erasures', 'members', 'identity_providers', 'group_roles', 'schemas', 'resource_types'];
    """,
    "DROP TRIGGER tell_change ON rollhouse.tenants",
    (
        "CREATE TRIGGER tell_change AFTER UPDATE OF status, reads_while_suspended, rate_per_second, burst, name, profile, registry OR DELETE"
        " ON rollhouse.tenants FOR EACH ROW EXECUTE FUNCTION rollhouse.tell_change()"
    ),
    # Beside resolve_credential, which the release before asks.
    """
    CREATE FUNCTION rollhouse.resolve_access(p_lookup_id text)
    RETURNS TABLE (
        tenant_id uuid, credential_id uuid, kind text, client_id uuid, slug text, name text, status text, reads_while_suspended boolean,
        rate_per_second integer, burst integer, profile text, registry bigint, mac bytea, pepper_version integer, seconds_left double precision,
        revoked timestamptz, subject_id uuid
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT c.tenant_id, c.id, c.kind, c.client_id, t.slug, t.name, t.status, t.reads_while_suspended, t.rate_per_second, t.burst, t.profile, t.registry,
               c.mac, c.pepper_version, extract(epoch FROM c.expires - clock_timestamp()), c.revoked, c.subject_id
        FROM rollhouse.credentials c JOIN rollhouse.tenants t ON t.id = c.tenant_id
        WHERE c.lookup_id = p_lookup_id;
    END
    """,
)

# Which groups a member belongs to at all; each group is looked at once, so a circle of groups ends.
ALL_GROUPS = """
    CREATE FUNCTION rollhouse.all_groups(p_tenant uuid, p_member uuid, p_base_url text) RETURNS text
    LANGUAGE sql STABLE SET enable_hashjoin = off SET enable_mergejoin = off
    BEGIN ATOMIC
        WITH RECURSIVE above (group_id) AS (
            SELECT m.group_id FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = p_member
            UNION
            SELECT m.group_id FROM above JOIN rollhouse.memberships m ON m.tenant_id = p_tenant AND m.member_id = above.group_id
        )
        SELECT '[' || string_agg('{"value":"' || a.group_id || '","$ref":"' || p_base_url || '/Groups/' || a.group_id || '","type":"'
            || CASE WHEN EXISTS (SELECT FROM rollhouse.memberships d WHERE d.tenant_id = p_tenant AND d.group_id = a.group_id AND d.member_id = p_member)
                THEN 'direct' ELSE 'indirect' END || '"}', ',' ORDER BY a.group_id) || ']'
        FROM above a;
    END
    """

# As in the migration 0001, with at most so many members, and with groups through other groups; the release before calls the older ones.
RELATION = """CASE p_relation
                WHEN 'groups' THEN (
                    SELECT '[' || string_agg('{"value":"' || m.group_id || '","$ref":"' || p_base_url || '/Groups/' || m.group_id
                        || '","type":"direct"}', ',' ORDER BY m.group_id) || ']'
                    FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = r.id)
                WHEN 'members' THEN (
                    SELECT '[' || string_agg('{"value":"' || m.member_id || '","$ref":"' || p_base_url || '/' || m.member_type || 's/' || m.member_id
                        || '","type":"' || m.member_type || '"}', ',' ORDER BY m.member_id) || ']'
                    FROM (SELECT s.member_id, s.member_type FROM rollhouse.memberships s WHERE s.tenant_id = p_tenant AND s.group_id = r.id
                        ORDER BY s.member_id LIMIT p_most) m)
                WHEN 'all groups' THEN rollhouse.all_groups(p_tenant, r.id, p_base_url)
                END"""

READING = (
    f"""
    CREATE FUNCTION rollhouse.get_resource(p_tenant uuid, p_type text, p_id uuid, p_relation text, p_base_url text, p_most integer)
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
        p_tenant uuid, p_type text, p_attribute text, p_key text, p_limit integer, p_relation text, p_base_url text, p_most integer)
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

# As in the migration 0002, under the registry that the request was read by. The release before knows none: what it calls ends where there is one.
WRITING = (
    """
    CREATE FUNCTION rollhouse.create_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_members uuid[], p_names text[], p_registry bigint, p_is_strict boolean,
        OUT created timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        joined uuid[] := '{}';
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        PERFORM rollhouse.hold_registry(p_tenant, p_registry);
        created := date_trunc('milliseconds', clock_timestamp());
        INSERT INTO rollhouse.resources (tenant_id, id, resource_type, document, comparable, created, last_modified)
        VALUES (p_tenant, p_id, p_type, p_document, p_comparable, created, created);
        INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)
        SELECT p_tenant, p_type, a, k, p_id, u FROM unnest(p_attributes, p_keys, p_unique) AS entry (a, k, u);
        IF cardinality(p_members) > 0 THEN
            SELECT m.added, m.unknown INTO joined, unknown FROM rollhouse.add_members(p_tenant, p_id, p_members) m;
            IF p_is_strict AND cardinality(unknown) > 0 THEN
                RAISE EXCEPTION 'some of the members do not exist: %', left(array_to_string(unknown, ', '), 200) USING ERRCODE = 'RH423';
            END IF;
        END IF;
        PERFORM rollhouse.count_resources(p_tenant, p_type, 1);
        PERFORM rollhouse.append_audit(p_tenant, p_actor, p_request_id, 'resource.created', p_type, p_id::text, p_names, joined, NULL, NULL, p_document);
    END $$
    """,
    """
    CREATE FUNCTION rollhouse.update_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_gone_attributes text[], p_gone_keys text[],
        p_clear_members boolean, p_add_members uuid[], p_remove_members uuid[], p_names text[], p_registry bigint, p_is_strict boolean,
        OUT version bigint, OUT created timestamptz, OUT last_modified timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        joined uuid[] := '{}';
        left_members uuid[] := '{}';
        was text;
        member uuid;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        PERFORM rollhouse.hold_registry(p_tenant, p_registry);
        -- The row first, as delete_resource does: whoever changes the members of a group waits here and nowhere else, so that
        -- two replacements do not mix and a leaver's deletion does not deadlock with his removal.
        SELECT r.version, r.created, r.last_modified, r.document INTO version, created, last_modified, was FROM rollhouse.resources r
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
            IF FOUND THEN
                left_members := left_members || member;
            END IF;
        END LOOP;
        IF cardinality(p_add_members) > 0 THEN
            SELECT m.added, m.unknown INTO joined, unknown FROM rollhouse.add_members(p_tenant, p_id, p_add_members) m;
            IF p_is_strict AND cardinality(unknown) > 0 THEN
                RAISE EXCEPTION 'some of the members do not exist: %', left(array_to_string(unknown, ', '), 200) USING ERRCODE = 'RH423';
            END IF;
        END IF;
        IF p_document IS NULL AND cardinality(joined) + cardinality(left_members) = 0 THEN
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
        PERFORM rollhouse.append_audit(p_tenant, p_actor, p_request_id, 'resource.updated', p_type, p_id::text,
            CASE WHEN cardinality(joined) + cardinality(left_members) > 0 THEN array_append(p_names, 'members') ELSE p_names END,
            joined, left_members, was, coalesce(p_document, was));
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION rollhouse.create_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_members uuid[], p_names text[],
        OUT created timestamptz, OUT unknown uuid[])
    LANGUAGE sql
    BEGIN ATOMIC
        SELECT c.created, c.unknown FROM rollhouse.create_resource(p_tenant, p_actor, p_request_id, p_type, p_id, p_document, p_comparable,
            p_attributes, p_keys, p_unique, p_members, p_names, 0::bigint, false) c;
    END
    """,
    """
    CREATE OR REPLACE FUNCTION rollhouse.update_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_gone_attributes text[], p_gone_keys text[],
        p_clear_members boolean, p_add_members uuid[], p_remove_members uuid[], p_names text[],
        OUT version bigint, OUT created timestamptz, OUT last_modified timestamptz, OUT unknown uuid[])
    LANGUAGE sql
    BEGIN ATOMIC
        SELECT u.version, u.created, u.last_modified, u.unknown FROM rollhouse.update_resource(p_tenant, p_actor, p_request_id, p_type, p_id, p_expected,
            p_document, p_comparable, p_attributes, p_keys, p_unique, p_gone_attributes, p_gone_keys, p_clear_members, p_add_members, p_remove_members,
            p_names, 0::bigint, false) u;
    END
    """,
)

DELETION = (
    # As in the migration 0003; a change of the registry that has read the resource must not give keys to one that is gone.
    """
    CREATE OR REPLACE FUNCTION rollhouse.delete_resource(p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint) RETURNS void
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        changed_group uuid;
        parted uuid[] := '{}';
        was text;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('registry:' || p_tenant::text, 0));
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
    "GRANT SELECT, INSERT, UPDATE, DELETE ON rollhouse.schemas, rollhouse.resource_types TO rollhouse_app",
    "GRANT SELECT (subject_id) ON rollhouse.credentials TO rollhouse_app",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rollhouse FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rollhouse TO rollhouse_app",
)


def upgrade() -> None:
    """Only adds, save for functions that do the same as before for whoever calls them as before."""
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in TABLES:
        op.execute(statement)
    for table in BOUND:
        op.execute(f"ALTER TABLE rollhouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY tenant_isolation ON rollhouse.{table} USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
        )
    for statement in (*REGISTRY, ALL_GROUPS, *READING, *WRITING, *DELETION, *GRANTS):
        op.execute(statement)
