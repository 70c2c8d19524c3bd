"""Many resources in one round trip: read by their ids, or made or changed one after the other."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

STATEMENTS = (
    # By the key of each id, whatever the statistics say of the tenant; no row for one that is not there. Of the relations only the one that
    # costs little however large the tenant is: get_resource has the others.
    """
    CREATE FUNCTION rollhouse.get_resources(p_tenant uuid, p_type text, p_relation text, p_base_url text, p_ids uuid[])
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
            FROM unnest(p_ids) WITH ORDINALITY AS wanted (id, place)
            CROSS JOIN LATERAL (SELECT * FROM rollhouse.resources r WHERE r.tenant_id = p_tenant AND r.id = wanted.id AND r.resource_type = p_type LIMIT 1) r;
    END $$
    """,
    # One after the other. Who would have to wait long for a lock ends it for all, which then are made one by one: in whatever order new resources
    # take their unique values and the counter, two of these would now and then wait for each other. What comes as a text and is an array is
    # written as Postgres writes one.
    """
    CREATE FUNCTION rollhouse.create_resources(
        p_tenant uuid, p_type text, p_registry bigint, p_actors text[], p_request_ids text[], p_ids uuid[], p_documents text[], p_comparables jsonb[],
        p_attributes text[], p_keys text[], p_unique text[], p_names text[])
    RETURNS TABLE (place bigint, created timestamptz)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET lock_timeout = '50ms' AS $$
    DECLARE
        new record;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        FOR new IN
            SELECT * FROM unnest(p_actors, p_request_ids, p_ids, p_documents, p_comparables, p_attributes, p_keys, p_unique, p_names)
                WITH ORDINALITY AS n (actor, request_id, id, document, comparable, attributes, keys, is_unique, names, place)
        LOOP
            place := new.place;
            SELECT c.created INTO created FROM rollhouse.create_resource(p_tenant, new.actor, new.request_id, p_type, new.id, new.document,
                new.comparable, new.attributes::text[], new.keys::text[], new.is_unique::boolean[], NULL, new.names::text[], p_registry, false) c;
            RETURN NEXT;
        END LOOP;
    END $$
    """,
    # One change after the other. One whose resource is not there, has another version, or is locked, is left out: it is made by itself, and then
    # waits for the lock or hears why it cannot be.
    """
    CREATE FUNCTION rollhouse.update_resources(
        p_tenant uuid, p_type text, p_registry bigint, p_actors text[], p_request_ids text[], p_ids uuid[], p_expected bigint[],
        p_documents text[], p_comparables jsonb[], p_attributes text[], p_keys text[], p_unique text[], p_gone_attributes text[],
        p_gone_keys text[], p_names text[])
    RETURNS TABLE (place bigint, version bigint, created timestamptz, last_modified timestamptz)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET lock_timeout = '50ms' AS $$
    DECLARE
        change record;
    BEGIN
        PERFORM set_config('rollhouse.tenant', p_tenant::text, true);
        -- Before any row, as everywhere: whoever changes the registry waits for all who hold it, and then for nobody's rows.
        PERFORM rollhouse.hold_registry(p_tenant, p_registry);
        FOR change IN
            SELECT * FROM unnest(p_actors, p_request_ids, p_ids, p_expected, p_documents, p_comparables, p_attributes, p_keys, p_unique, p_gone_attributes,
                p_gone_keys, p_names) WITH ORDINALITY AS c (actor, request_id, id, expected, document, comparable, attributes, keys, is_unique,
                gone_attributes, gone_keys, names, place)
        LOOP
            PERFORM FROM rollhouse.resources r
            WHERE r.tenant_id = p_tenant AND r.id = change.id AND r.resource_type = p_type AND r.version = change.expected FOR NO KEY UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND;
            place := change.place;
            SELECT u.version, u.created, u.last_modified INTO version, created, last_modified
            FROM rollhouse.update_resource(p_tenant, change.actor, change.request_id, p_type, change.id, change.expected, change.document,
                change.comparable, change.attributes::text[], change.keys::text[], change.is_unique::boolean[], change.gone_attributes::text[],
                change.gone_keys::text[], false, NULL, '{}', change.names::text[], p_registry, false) u;
            RETURN NEXT;
        END LOOP;
    END $$
    """,
    "REVOKE ALL ON FUNCTION rollhouse.get_resources, rollhouse.create_resources, rollhouse.update_resources FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION rollhouse.get_resources, rollhouse.create_resources, rollhouse.update_resources TO rollhouse_app",
)
"""Expand only: the release before runs on it unchanged."""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    for statement in STATEMENTS:
        op.execute(statement)
