"""A page of everything of one type in one round trip."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STATEMENTS = (
    # In order of id, behind `p_after` and so many more. Where nothing is left, one row without an id says how much there is in all,
    # which is counted only if `p_total` does not know it. The plan is that of the index whatever the statistics say of the tenant.
    """
    CREATE FUNCTION rollhouse.list_resources(
        p_tenant uuid, p_type text, p_after uuid, p_skipped bigint, p_limit bigint, p_relation text, p_base_url text, p_total bigint)
    RETURNS TABLE (id uuid, document text, version bigint, created timestamptz, last_modified timestamptz, relation text, total bigint)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_sort = off SET enable_bitmapscan = off SET enable_seqscan = off AS $$
    #variable_conflict use_column
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        IF p_total IS NULL THEN
            SELECT coalesce(sum(c.count), 0) INTO p_total FROM rollhouse.resource_counts c WHERE c.tenant_id = p_tenant AND c.resource_type = p_type;
        END IF;
        IF p_skipped > 0 THEN
            SELECT r.id INTO p_after FROM rollhouse.resources r
            WHERE r.tenant_id = p_tenant AND r.resource_type = p_type AND r.id > p_after ORDER BY r.id OFFSET p_skipped - 1 LIMIT 1;
        END IF;
        RETURN QUERY
            SELECT r.id, r.document, r.version, r.created, r.last_modified,
                   CASE p_relation WHEN 'groups' THEN (
                       SELECT '[' || string_agg('{"value":"' || m.group_id || '","$ref":"' || p_base_url || '/Groups/' || m.group_id
                           || '","type":"direct"}', ',' ORDER BY m.group_id) || ']'
                       FROM rollhouse.memberships m WHERE m.tenant_id = p_tenant AND m.member_id = r.id)
                   END, p_total
            FROM (SELECT * FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.resource_type = p_type AND r.id > p_after
                ORDER BY r.id LIMIT p_limit) r
            ORDER BY r.id;
        IF NOT FOUND THEN
            total := p_total;
            RETURN NEXT;
        END IF;
    END $$
    """,
    "REVOKE ALL ON FUNCTION rollhouse.list_resources FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION rollhouse.list_resources TO rollhouse_app",
)
"""Expand only: the release before runs on it unchanged."""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in STATEMENTS:
        op.execute(statement)
