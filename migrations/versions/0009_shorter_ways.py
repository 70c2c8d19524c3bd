"""Shorter ways for what identity providers send most: who has a unique value, asked for by many at once, and one member more."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    # The resource that each of the values names; no row for a value that nobody has. By the key of each, and the first of several, should a
    # reader still take for unique what is unique no longer.
    """
    CREATE FUNCTION rollhouse.find_unique(p_tenant uuid, p_type text, p_attribute text, p_relation text, p_base_url text, p_keys text[])
    RETURNS TABLE (id uuid, document text, version bigint, created timestamptz, last_modified timestamptz, relation text, place bigint)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        RETURN QUERY
            SELECT r.id, r.document, r.version, r.created, r.last_modified,
                   CASE p_relation WHEN 'groups' THEN (
                       SELECT '[' || string_agg('{"value":"' || m.group_id || '","$ref":"' || p_base_url || '/Groups/' || m.group_id
                           || '","type":"direct"}', ',' ORDER BY m.group_id) || ']'
                       FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = r.id)
                   END, wanted.place
            FROM unnest(p_keys) WITH ORDINALITY AS wanted (key, place)
            CROSS JOIN LATERAL (
                SELECT k.resource_id FROM rollhouse.resource_keys k
                WHERE k.tenant_id = p_tenant AND k.resource_type = p_type AND k.attribute = p_attribute AND k.key = wanted.key
                ORDER BY k.resource_id LIMIT 1) k
            CROSS JOIN LATERAL (SELECT * FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = k.resource_id LIMIT 1) r;
    END $$
    """,
    # As in the migration 0002, but for the single member: for many, one statement takes less than one for each.
    """
    CREATE OR REPLACE FUNCTION rollhouse.add_members(p_tenant uuid, p_group uuid, p_members uuid[], OUT added uuid[], OUT unknown uuid[])
    LANGUAGE plpgsql AS $$
    DECLARE
        found_members uuid[];
        kind text;
    BEGIN
        added := '{}';
        unknown := '{}';
        IF cardinality(p_members) = 0 THEN
            RETURN;
        END IF;
        -- Locked, so that a member that is being deleted counts as unknown.
        IF cardinality(p_members) = 1 THEN
            SELECT r.resource_type INTO kind FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = p_members[1] FOR KEY SHARE;
            IF kind IN ('User', 'Group') THEN
                found_members := p_members;
                INSERT INTO rollhouse.memberships (tenant_id, group_id, member_id, member_type)
                VALUES (p_tenant, p_group, p_members[1], kind) ON CONFLICT DO NOTHING;
                IF FOUND THEN
                    added := p_members;
                END IF;
            END IF;
        ELSE
            -- Sorted, so that two requests that name the same members lock them in the same order.
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
        END IF;
        IF found_members IS NULL THEN
            RAISE EXCEPTION 'none of the members exists: %', left(array_to_string(p_members, ', '), 200) USING ERRCODE = 'RH422';
        ELSIF cardinality(found_members) < cardinality(p_members) THEN
            unknown := ARRAY(SELECT m FROM unnest(p_members) m EXCEPT SELECT f FROM unnest(found_members) f);
        END IF;
    END $$
    """,
    "REVOKE ALL ON FUNCTION rollhouse.find_unique FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION rollhouse.find_unique TO rollhouse_app",
)
"""Expand only: the release before runs on it unchanged."""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in STATEMENTS:
        op.execute(statement)
