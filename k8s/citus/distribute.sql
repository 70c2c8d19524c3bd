-- Spreads the tenants of a migrated database over the nodes of Citus. NOT RUN ON CITUS YET: read docs/scale.md first.
-- As a superuser on the coordinator, once, after `rollhouse migrate` and before the first tenant:
--   psql -X -v ON_ERROR_STOP=1 -d rollhouse -f distribute.sql

CREATE EXTENSION IF NOT EXISTS citus;

-- SET LOCAL, by which composed queries bind their tenant, reaches the node that answers.
ALTER DATABASE rollhouse SET citus.propagate_set_commands = 'local';
-- Triggers tell the processes of a change of a credential; they run where the row is.
ALTER DATABASE rollhouse SET citus.enable_unsafe_triggers = on;

-- Tables that belong to no tenant, or are read before one is known: a copy on every node. First those that others refer to.
SELECT create_reference_table('rollhouse.' || name)
FROM unnest(ARRAY[
    'tenants', 'operators', 'operator_keys', 'sessions', 'setup_links', 'sign_in_links', 'headcounts', 'idempotency_keys', 'notices',
    'request_failures', 'request_hours', 'tenant_health'
]) AS name;

-- Tables of tenants: all rows of a tenant on one node, so that a transaction of a tenant stays on it.
SELECT create_distributed_table('rollhouse.resources', 'tenant_id');
SELECT create_distributed_table('rollhouse.' || name, 'tenant_id', colocate_with => 'rollhouse.resources')
FROM unnest(ARRAY[
    'resource_keys', 'memberships', 'resource_counts', 'credentials', 'oauth_clients', 'identity_providers', 'members', 'group_roles',
    'audit', 'audit_chain', 'audit_roots', 'requests', 'erasures', 'schemas', 'resource_types'
]) AS name;

-- Functions whose first argument is the tenant: one call, run whole on the tenant's node.
SELECT create_distributed_function(f.oid::regprocedure, '$1', colocate_with => 'rollhouse.resources')
FROM pg_proc f
WHERE f.pronamespace = 'rollhouse'::regnamespace AND f.proname = ANY (ARRAY[
    'get_resource', 'get_resources', 'find_resources', 'find_unique', 'list_resources', 'create_resource', 'create_resources',
    'update_resource', 'update_resources', 'delete_resource', 'add_members', 'count_resources', 'append_audit', 'hold_registry', 'all_groups'
]);
