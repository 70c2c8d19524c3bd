"""Kinds of credentials, OAuth clients, operators' keys, the tenant's life, and an audit row in the transaction of each effect."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    "ALTER TABLE rollhouse.tenants DROP CONSTRAINT tenants_status_check",
    """
    ALTER TABLE rollhouse.tenants
        ADD CONSTRAINT tenants_status_check CHECK (status IN ('active', 'suspended', 'deleting')),
        ADD COLUMN reads_while_suspended boolean NOT NULL DEFAULT false,
        ADD COLUMN purge_after timestamptz,
        ADD COLUMN version bigint NOT NULL DEFAULT 1,
        ADD COLUMN last_modified timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp())
    """,
    """
    CREATE TABLE rollhouse.oauth_clients (
        tenant_id uuid NOT NULL REFERENCES rollhouse.tenants (id),
        id uuid NOT NULL,
        kind text COLLATE "C" NOT NULL CHECK (kind IN ('secret', 'federated')),
        label text,
        token_seconds integer NOT NULL DEFAULT 3600 CHECK (token_seconds BETWEEN 3600 AND 21600),
        issuer text,
        jwks_url text,
        subject text,
        audience text,
        entra_tenant text,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        created_by text,
        revoked timestamptz,
        PRIMARY KEY (tenant_id, id),
        CHECK (kind <> 'federated' OR (issuer IS NOT NULL AND jwks_url IS NOT NULL AND subject IS NOT NULL AND audience IS NOT NULL))
    )
    """,
    """
    ALTER TABLE rollhouse.credentials
        ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'secret' CHECK (kind IN ('secret', 'client_secret', 'access_token')),
        ADD COLUMN client_id uuid,
        ADD COLUMN created_by text,
        ADD COLUMN last_used timestamptz,
        ADD FOREIGN KEY (tenant_id, client_id) REFERENCES rollhouse.oauth_clients (tenant_id, id)
    """,
    "CREATE INDEX credentials_of_client ON rollhouse.credentials (tenant_id, client_id) WHERE client_id IS NOT NULL",
    "CREATE INDEX credentials_expired_tokens ON rollhouse.credentials (expires) WHERE kind = 'access_token'",
    """
    CREATE TABLE rollhouse.audit (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        action text COLLATE "C" NOT NULL,
        target_type text COLLATE "C" NOT NULL,
        target_id text COLLATE "C" NOT NULL,
        attributes text[] NOT NULL,
        added uuid[] NOT NULL,
        removed uuid[] NOT NULL,
        request_id text NOT NULL,
        before bytea,
        after bytea,
        PRIMARY KEY (tenant_id, id)
    )
    """,
    "CREATE INDEX audit_at ON rollhouse.audit (at)",
    "CREATE INDEX audit_of_target ON rollhouse.audit (tenant_id, target_id, id)",
    """
    CREATE TABLE rollhouse.audit_chain (
        tenant_id uuid NOT NULL,
        position bigint NOT NULL,
        audit_id uuid NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (tenant_id, position),
        UNIQUE (tenant_id, audit_id)
    )
    """,
    """
    CREATE TABLE rollhouse.audit_roots (
        tenant_id uuid NOT NULL,
        position bigint NOT NULL,
        hash bytea NOT NULL,
        key_id text COLLATE "C" NOT NULL,
        signature bytea NOT NULL,
        at timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        PRIMARY KEY (tenant_id, position)
    )
    """,
    """
    CREATE TABLE rollhouse.operator_keys (
        id uuid PRIMARY KEY,
        lookup_id text COLLATE "C" NOT NULL,
        mac bytea NOT NULL,
        pepper_version integer NOT NULL,
        label text,
        scopes text[] NOT NULL,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        created_by text,
        expires timestamptz,
        revoked timestamptz,
        last_used timestamptz
    )
    """,
    "CREATE INDEX operator_keys_lookup ON rollhouse.operator_keys (lookup_id)",
    """
    CREATE TABLE rollhouse.idempotency_keys (
        operator_key_id uuid NOT NULL,
        idempotency_key text COLLATE "C" NOT NULL,
        request_hash bytea NOT NULL,
        status integer,
        headers text,
        body text,
        concerns uuid,
        created timestamptz NOT NULL DEFAULT date_trunc('milliseconds', clock_timestamp()),
        PRIMARY KEY (operator_key_id, idempotency_key)
    )
    """,
    "CREATE INDEX idempotency_keys_created ON rollhouse.idempotency_keys (created)",
)

APP_ONLY = ("oauth_clients", "audit", "audit_chain", "audit_roots")
"""Tables of which a function of the owner's reads or deletes rows: the policy that raises without a tenant binds the app role."""

POLICIES = (
    *(
        f"CREATE POLICY tenant_isolation ON rollhouse.{table} TO rollhouse_app"
        " USING (tenant_id = rollhouse.current_tenant()) WITH CHECK (tenant_id = rollhouse.current_tenant())"
        for table in APP_ONLY
    ),
    *(
        f"CREATE POLICY owner_purge ON rollhouse.{table} FOR DELETE TO rollhouse_owner USING (tenant_id = rollhouse.current_tenant())"
        for table in (*APP_ONLY, "credentials")
    ),
    "CREATE POLICY owner_read ON rollhouse.oauth_clients FOR SELECT TO rollhouse_owner USING (true)",
    "CREATE POLICY owner_read ON rollhouse.audit FOR SELECT TO rollhouse_owner USING (true)",
    "CREATE POLICY owner_read ON rollhouse.audit_chain FOR SELECT TO rollhouse_owner USING (true)",
    "CREATE POLICY owner_read ON rollhouse.audit_roots FOR SELECT TO rollhouse_owner USING (true)",
    "CREATE POLICY owner_note_use ON rollhouse.credentials FOR UPDATE TO rollhouse_owner USING (true) WITH CHECK (true)",
)

GATES = (
    "DROP FUNCTION rollhouse.resolve_credential(text)",
    """
    CREATE FUNCTION rollhouse.resolve_credential(p_lookup_id text)
    RETURNS TABLE (
        tenant_id uuid, credential_id uuid, kind text, client_id uuid, slug text, name text, status text, reads_while_suspended boolean,
        rate_per_second integer, burst integer, mac bytea, pepper_version integer, seconds_left double precision, revoked timestamptz
    )
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT c.tenant_id, c.id, c.kind, c.client_id, t.slug, t.name, t.status, t.reads_while_suspended,
               t.rate_per_second, t.burst, c.mac, c.pepper_version, extract(epoch FROM c.expires - clock_timestamp()), c.revoked
        FROM rollhouse.credentials c JOIN rollhouse.tenants t ON t.id = c.tenant_id
        WHERE c.lookup_id = p_lookup_id;
    END
    """,
    """
    CREATE FUNCTION rollhouse.resolve_operator_key(p_lookup_id text)
    RETURNS TABLE (id uuid, scopes text[], mac bytea, pepper_version integer, is_expired boolean, revoked timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT k.id, k.scopes, k.mac, k.pepper_version, coalesce(k.expires <= clock_timestamp(), false), k.revoked FROM rollhouse.operator_keys k WHERE k.lookup_id = p_lookup_id;
    END
    """,
    # Which credentials were used, of many tenants at once; a mac is given where the secret was verified by an old pepper.
    """
    CREATE FUNCTION rollhouse.note_uses(p_ids uuid[], p_tenants uuid[], p_macs bytea[], p_pepper_versions integer[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        UPDATE rollhouse.credentials c
        SET last_used = clock_timestamp(), mac = coalesce(u.mac, c.mac), pepper_version = coalesce(u.pepper_version, c.pepper_version)
        FROM unnest(p_ids, p_tenants, p_macs, p_pepper_versions) AS u (id, tenant_id, mac, pepper_version)
        WHERE c.tenant_id = u.tenant_id AND c.id = u.id
          AND (u.mac IS NOT NULL OR c.last_used IS NULL OR c.last_used < clock_timestamp() - interval '50 seconds');
    END
    """,
    # How many live credentials still need each version of the pepper: an old one may go when none does.
    """
    CREATE FUNCTION rollhouse.pepper_versions() RETURNS TABLE (pepper_version integer, live bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT v, count(*) FROM (
            SELECT c.pepper_version AS v FROM rollhouse.credentials c
            WHERE c.revoked IS NULL AND (c.expires IS NULL OR c.expires > clock_timestamp())
            UNION ALL
            SELECT k.pepper_version FROM rollhouse.operator_keys k
            WHERE k.revoked IS NULL AND (k.expires IS NULL OR k.expires > clock_timestamp())
        ) used GROUP BY v ORDER BY v;
    END
    """,
    # Access tokens are kept for a day after their end, so that their use is told apart from a forgery in the audit.
    """
    CREATE FUNCTION rollhouse.delete_expired_tokens(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        gone bigint := 0;
        expired record;
    BEGIN
        FOR expired IN SELECT c.tenant_id, c.id FROM rollhouse.credentials c
            WHERE c.kind = 'access_token' AND c.expires < clock_timestamp() - interval '1 day' ORDER BY c.expires LIMIT p_limit LOOP
            PERFORM set_config('rollhouse.tenant', expired.tenant_id::text, true);
            DELETE FROM rollhouse.credentials c WHERE c.tenant_id = expired.tenant_id AND c.id = expired.id;
            gone := gone + 1;
        END LOOP;
        RETURN gone;
    END $$
    """,
    """
    CREATE FUNCTION rollhouse.tenants_to_seal(p_since timestamptz) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    BEGIN ATOMIC
        SELECT DISTINCT a.tenant_id FROM rollhouse.audit a
        WHERE a.at >= p_since AND NOT EXISTS (SELECT FROM rollhouse.audit_chain s WHERE s.tenant_id = a.tenant_id AND s.audit_id = a.id);
    END
    """,
    # Every process that serves hears of a change within a moment, and forgets what it believed.
    """
    CREATE FUNCTION rollhouse.tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_TABLE_NAME = 'tenants' THEN
            PERFORM pg_notify('rollhouse', 'tenant:' || OLD.id);
        ELSIF TG_TABLE_NAME = 'operator_keys' THEN
            PERFORM pg_notify('rollhouse', 'operator-key:' || OLD.lookup_id);
        ELSE
            PERFORM pg_notify('rollhouse', 'credential:' || OLD.lookup_id);
        END IF;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER tell_change AFTER UPDATE OF revoked, expires ON rollhouse.credentials FOR EACH ROW EXECUTE FUNCTION rollhouse.tell_change()",
    "CREATE TRIGGER tell_change AFTER UPDATE OF revoked, expires ON rollhouse.operator_keys FOR EACH ROW EXECUTE FUNCTION rollhouse.tell_change()",
    (
        "CREATE TRIGGER tell_change AFTER UPDATE OF status, reads_while_suspended, rate_per_second, burst, name OR DELETE ON rollhouse.tenants"
        " FOR EACH ROW EXECUTE FUNCTION rollhouse.tell_change()"
    ),
)

AUDIT = (
    # A UUID of version 7 by the database's clock, with the microseconds behind the milliseconds (RFC 9562 section 6.2): the
    # audit's order does not depend on the clock of any process, and two rows of one millisecond stand in theirs.
    """
    CREATE FUNCTION rollhouse.new_audit_id(p_at timestamptz) RETURNS uuid
    LANGUAGE sql VOLATILE
    RETURN (overlay(lpad(to_hex(floor(date_part('epoch', p_at) * 4096000)::bigint), 15, '0') PLACING '7' FROM 13 FOR 0)
        || substr(gen_random_uuid()::text, 20))::uuid;
    """,
    """
    CREATE FUNCTION rollhouse.append_audit(
        p_tenant uuid, p_actor text, p_request_id text, p_action text, p_target_type text, p_target_id text,
        p_attributes text[], p_added uuid[], p_removed uuid[], p_before text, p_after text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
        INSERT INTO rollhouse.audit (tenant_id, id, at, actor, action, target_type, target_id, attributes, added, removed, request_id, before, after)
        SELECT p_tenant, rollhouse.new_audit_id(moment), date_trunc('milliseconds', moment), p_actor, p_action, p_target_type, p_target_id,
               coalesce(p_attributes, '{}'), coalesce(p_added, '{}'), coalesce(p_removed, '{}'), p_request_id,
               sha256(convert_to(p_before, 'UTF8')), sha256(convert_to(p_after, 'UTF8'))
        FROM clock_timestamp() AS moment;
    END
    """,
)

WRITING = (
    "DROP FUNCTION rollhouse.add_members(uuid, uuid, uuid[])",
    """
    CREATE FUNCTION rollhouse.add_members(p_tenant uuid, p_group uuid, p_members uuid[], OUT added uuid[], OUT unknown uuid[])
    LANGUAGE plpgsql AS $$
    DECLARE
        found_members uuid[];
    BEGIN
        added := '{}';
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
            SELECT p_tenant, p_group, known.id, known.resource_type FROM known ON CONFLICT DO NOTHING RETURNING member_id
        )
        SELECT coalesce((SELECT array_agg(i.member_id) FROM inserted i), '{}'), (SELECT array_agg(known.id) FROM known) INTO added, found_members;
        unknown := ARRAY(SELECT m FROM unnest(p_members) m EXCEPT SELECT f FROM unnest(found_members) f);
        IF found_members IS NULL THEN
            RAISE EXCEPTION 'none of the members exists: %', left(array_to_string(unknown, ', '), 200) USING ERRCODE = 'RH422';
        END IF;
    END $$
    """,
    "DROP FUNCTION rollhouse.create_resource(uuid, text, uuid, text, jsonb, text[], text[], boolean[], uuid[])",
    """
    CREATE FUNCTION rollhouse.create_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_members uuid[], p_names text[],
        OUT created timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        joined uuid[] := '{}';
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        created := date_trunc('milliseconds', clock_timestamp());
        INSERT INTO rollhouse.resources (tenant_id, id, resource_type, document, comparable, created, last_modified)
        VALUES (p_tenant, p_id, p_type, p_document, p_comparable, created, created);
        INSERT INTO rollhouse.resource_keys (tenant_id, resource_type, attribute, key, resource_id, is_unique)
        SELECT p_tenant, p_type, a, k, p_id, u FROM unnest(p_attributes, p_keys, p_unique) AS entry (a, k, u);
        IF cardinality(p_members) > 0 THEN
            SELECT m.added, m.unknown INTO joined, unknown FROM rollhouse.add_members(p_tenant, p_id, p_members) m;
        END IF;
        PERFORM rollhouse.count_resources(p_tenant, p_type, 1);
        PERFORM rollhouse.append_audit(p_tenant, p_actor, p_request_id, 'resource.created', p_type, p_id::text, p_names, joined, NULL, NULL, p_document);
    END $$
    """,
    "DROP FUNCTION rollhouse.update_resource(uuid, text, uuid, bigint, text, jsonb, text[], text[], boolean[], text[], text[], boolean, uuid[], uuid[])",
    """
    CREATE FUNCTION rollhouse.update_resource(
        p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint, p_document text, p_comparable jsonb,
        p_attributes text[], p_keys text[], p_unique boolean[], p_gone_attributes text[], p_gone_keys text[],
        p_clear_members boolean, p_add_members uuid[], p_remove_members uuid[], p_names text[],
        OUT version bigint, OUT created timestamptz, OUT last_modified timestamptz, OUT unknown uuid[])
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_hashjoin = off SET enable_mergejoin = off AS $$
    DECLARE
        joined uuid[] := '{}';
        left_members uuid[] := '{}';
        was text;
        member uuid;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
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
    "DROP FUNCTION rollhouse.delete_resource(uuid, text, uuid, bigint)",
    """
    CREATE FUNCTION rollhouse.delete_resource(p_tenant uuid, p_actor text, p_request_id text, p_type text, p_id uuid, p_expected bigint) RETURNS void
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
        DELETE FROM rollhouse.resource_keys k WHERE k.tenant_id = p_tenant AND k.resource_id = p_id;
        PERFORM rollhouse.count_resources(p_tenant, p_type, -1);
        PERFORM rollhouse.append_audit(p_tenant, p_actor, p_request_id, 'resource.deleted', p_type, p_id::text, NULL, NULL, parted, was, NULL);
    END $$
    """,
)

LIFE = (
    # The end of a tenant, in steps that can be repeated: only after its grace, only whole, nothing of another tenant's.
    """
    CREATE FUNCTION rollhouse.purge_tenant(p_tenant uuid, p_limit integer) RETURNS bigint
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
        FOREACH emptied IN ARRAY ARRAY['memberships', 'resource_keys', 'resources', 'resource_counts', 'credentials', 'oauth_clients',
            'audit_roots', 'audit_chain', 'audit'] LOOP
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

GRANTS = (
    # The app can list and revoke, never read a MAC: that is for the functions that resolve one.
    "GRANT SELECT (kind, client_id, created_by, last_used) ON rollhouse.credentials TO rollhouse_app",
    "GRANT SELECT, INSERT, UPDATE ON rollhouse.oauth_clients TO rollhouse_app",
    "GRANT SELECT, INSERT ON rollhouse.audit, rollhouse.audit_chain, rollhouse.audit_roots TO rollhouse_app",
    "GRANT SELECT (id, lookup_id, pepper_version, label, scopes, created, created_by, expires, revoked, last_used) ON rollhouse.operator_keys TO rollhouse_app",
    "GRANT INSERT, UPDATE (mac, pepper_version, label, revoked, expires, last_used) ON rollhouse.operator_keys TO rollhouse_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON rollhouse.idempotency_keys TO rollhouse_app",
    "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rollhouse FROM PUBLIC",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA rollhouse TO rollhouse_app",
)


def upgrade() -> None:
    """Only adds, save for functions, which are replaced as a whole."""
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in TABLES:
        op.execute(statement)
    for table in APP_ONLY:
        op.execute(f"ALTER TABLE rollhouse.{table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    for statement in (*POLICIES, *GATES, *AUDIT, *WRITING, *LIFE, *GRANTS):
        op.execute(statement)
