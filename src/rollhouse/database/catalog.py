"""The catalog gate: walks pg_catalog as the app role and names everything by which one tenant could reach another's rows."""

from rollhouse.database.pool import Database
from rollhouse.database.portal_tables import ALL_TABLES
from rollhouse.database.tables import SCHEMA

GLOBAL_TABLES = (
    "alembic_version",
    "headcounts",
    "idempotency_keys",
    "notices",
    "operator_keys",
    "operators",
    "request_failures",
    "request_hours",
    "sessions",
    "setup_links",
    "sign_in_links",
    "tenant_health",
    "tenants",
)
"""The only tables that are bound to no tenant: the app role reads them before or outside any tenant. Five of them hold counts, times, ids,
what was answered and which program asked: no word of a person."""
DEFINER_FUNCTIONS = (
    "append_requests",
    "count_heads",
    "delete_expired_tokens",
    "ending_credentials",
    "erase_requests",
    "forget_old_counts",
    "keep_request_days",
    "newest_requests",
    "note_uses",
    "pepper_versions",
    "purge_tenant",
    "resolve_access",
    "resolve_credential",
    "resolve_operator_key",
    "tenants_to_seal",
    "tenants_written_since",
)
"""The only functions that run with their owner's rights."""
POLICIES = {
    ("audit", "owner_purge"),
    ("audit", "owner_read"),
    ("audit_chain", "owner_purge"),
    ("audit_chain", "owner_read"),
    ("audit_roots", "owner_purge"),
    ("audit_roots", "owner_read"),
    ("credentials", "credential_lookup"),
    ("credentials", "owner_note_use"),
    ("credentials", "owner_purge"),
    ("erasures", "owner_erase"),
    ("erasures", "owner_purge"),
    ("erasures", "owner_read"),
    ("group_roles", "owner_purge"),
    ("group_roles", "owner_read"),
    ("identity_providers", "owner_purge"),
    ("identity_providers", "owner_read"),
    ("members", "owner_purge"),
    ("members", "owner_read"),
    ("oauth_clients", "owner_purge"),
    ("oauth_clients", "owner_read"),
    ("requests", "owner_append"),
    ("requests", "owner_erase"),
    ("requests", "owner_purge"),
    ("requests", "owner_read"),
    ("resource_counts", "owner_count"),
}
"""Policies beside `tenant_isolation`: what the functions above need, granted to the owner role only."""

_TENANT_CHECK = "(tenant_id = rollhouse.current_tenant())"
_NEWER_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'rollhouse'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL ($1)"
_NEWER_POLICIES = "SELECT tablename || '.' || policyname FROM pg_policies WHERE schemaname = 'rollhouse'"
_NEWER_FUNCTIONS = "SELECT proname FROM pg_proc WHERE pronamespace = 'rollhouse'::regnamespace AND prosecdef"

# $1 to $5 in the checks: the schema, tables bound to no tenant, the tenant's condition, owner's policies, definer functions.
_CHECKS: tuple[tuple[str, str], ...] = (
    (
        (
            "SELECT format('the role %s is a superuser or bypasses row-level security', rolname) FROM pg_roles"
            " WHERE rolname = current_user AND (rolsuper OR rolbypassrls)"
        ),
        "connect as rollhouse_app, made by: rollhouse migrate --print-roles",
    ),
    (
        (
            "SELECT format('the role %s belongs to %s', current_user, o.rolname) FROM pg_roles o"
            " WHERE o.rolname <> current_user AND pg_has_role(current_user, o.oid, 'MEMBER')"
        ),
        "REVOKE that membership: the app role must own nothing and inherit nothing",
    ),
    (
        (
            "SELECT format('the role %s owns %s', current_user, c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_roles r ON r.oid = c.relowner WHERE n.nspname = $1 AND r.rolname = current_user"
        ),
        "run migrations as rollhouse_migrator, so that rollhouse_owner owns every table",
    ),
    (
        (
            "SELECT format('%s is a %s', c.oid::regclass, CASE c.relkind WHEN 'm' THEN 'materialised view' ELSE 'foreign table' END)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('m', 'f')"
        ),
        "drop it: row-level security does not cover it",
    ),
    (
        (
            "SELECT format('the view %s runs with its owner''s rights', c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = $1 AND c.relkind = 'v' AND NOT coalesce(c.reloptions::text LIKE '%security_invoker=true%', false)"
        ),
        "ALTER VIEW ... SET (security_invoker = true)",
    ),
    (
        (
            "SELECT format('%s lacks %s', c.oid::regclass, CASE WHEN c.relrowsecurity THEN 'FORCE ROW LEVEL SECURITY' ELSE 'ROW LEVEL SECURITY' END)"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($2)"
            " AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
        ),
        "ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
    ),
    (
        (
            "SELECT format('%s has no column tenant_id uuid NOT NULL', c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($2) AND NOT EXISTS (SELECT FROM pg_attribute a"
            " WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull AND a.atttypid = 'uuid'::regtype)"
        ),
        "add the column, or put the table on the allow-list in database/catalog.py with a reason",
    ),
    (
        (
            "SELECT format('%s has no policy that binds both reads and writes to the tenant', c.oid::regclass) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($2)"
            " AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = $1 AND p.tablename = c.relname AND p.policyname = 'tenant_isolation'"
            " AND p.permissive = 'PERMISSIVE' AND p.cmd = 'ALL' AND p.qual = $3 AND p.with_check = $3)"
        ),
        "create the policy tenant_isolation as in the migration 0001",
    ),
    (
        (
            "SELECT format('%I.%I has the unknown policy %s', p.schemaname, p.tablename, p.policyname) FROM pg_policies p"
            " WHERE p.schemaname = $1 AND p.policyname <> 'tenant_isolation'"
            " AND NOT (p.tablename || '.' || p.policyname = ANY ($4) AND p.roles = '{rollhouse_owner}')"
        ),
        "drop it, or put it on the allow-list in database/catalog.py with a reason",
    ),
    (
        (
            "SELECT format('the key %s does not begin with tenant_id', i.indexrelid::regclass) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname <> ALL ($2) AND i.indisunique AND NOT EXISTS"
            " (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = i.indkey[0] AND a.attname = 'tenant_id')"
        ),
        "let every unique index begin with tenant_id: a global one tells tenants of each other's values",
    ),
    (
        (
            "SELECT format('the foreign key %s of %s does not begin with tenant_id', k.conname, k.conrelid::regclass) FROM pg_constraint k"
            " JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = $1 AND c.relname <> ALL ($2) AND k.contype = 'f'"
            " AND NOT EXISTS"
            " (SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1] AND a.attname = 'tenant_id')"
        ),
        "let every foreign key begin with tenant_id",
    ),
    (
        (
            "SELECT format('the function %s runs with its owner''s rights', f.oid::regprocedure) FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace"
            " WHERE n.nspname = $1 AND f.prosecdef AND NOT (f.proname = ANY ($5) AND coalesce(f.proconfig::text LIKE '%search_path=%', false))"
        ),
        "make it SECURITY INVOKER, or put it on the allow-list with a fixed search_path",
    ),
    (
        (
            "SELECT format('%s may %s %s', current_user, right_name, c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,"
            " unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER']) AS right_name WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')"
            " AND has_table_privilege(current_user, c.oid, right_name)"
        ),
        "REVOKE that right: TRUNCATE passes by row-level security",
    ),
    (
        (
            "SELECT format('%s may read the MACs of credentials', current_user)"
            " WHERE has_column_privilege(current_user, $1::text || '.credentials', 'mac', 'SELECT')"
            " OR has_column_privilege(current_user, $1::text || '.operator_keys', 'mac', 'SELECT')"
        ),
        "REVOKE SELECT (mac) ON rollhouse.credentials, rollhouse.operator_keys",
    ),
    (
        (
            "SELECT format('%s may %s the audit', current_user, right_name) FROM unnest(ARRAY['audit', 'audit_chain', 'audit_roots']) AS kept,"
            " unnest(ARRAY['UPDATE', 'DELETE']) AS right_name WHERE has_table_privilege(current_user, format('%I.%I', $1::text, kept), right_name)"
        ),
        "REVOKE UPDATE, DELETE on the tables of the audit: it is append-only",
    ),
    (
        "SELECT format('%s may create objects in the schema %s', current_user, $1::text) WHERE has_schema_privilege(current_user, $1::text, 'CREATE')",
        "REVOKE CREATE ON SCHEMA rollhouse",
    ),
    (
        (
            "SELECT format('everybody (PUBLIC) has rights on %s', c.oid::regclass) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,"
            " aclexplode(c.relacl) AS right_given WHERE n.nspname = $1 AND right_given.grantee = 0"
        ),
        "REVOKE ALL ... FROM PUBLIC",
    ),
)


async def catalog_findings(database: Database, *, of_newer: bool = False) -> list[str]:
    """What breaks the isolation of tenants in this database, a sentence with its cure each; empty when nothing does.

    In a schema `of_newer` releases there may be tables, owner's policies and definer functions that this release does not know: they are the newer
    release's to judge, at its own start; all that this release knows and uses is held to the same rules.

    Raises:
        Unavailable: Postgres cannot be reached.
    """
    tables, policies, functions = list(GLOBAL_TABLES), sorted(f"{table}.{policy}" for table, policy in POLICIES), list(DEFINER_FUNCTIONS)
    if of_newer:
        tables += await _names(database, _NEWER_TABLES, [table.name for table in ALL_TABLES.tables.values()])
        policies += await _names(database, _NEWER_POLICIES)
        functions += await _names(database, _NEWER_FUNCTIONS)
    arguments = (SCHEMA, tables, _TENANT_CHECK, policies, functions)
    findings = []
    for sql, cure in _CHECKS:
        used = [number for number in range(1, len(arguments) + 1) if f"${number}" in sql]
        rows = await database.query(_renumbered(sql, used), *(arguments[number - 1] for number in used))
        findings += [f"{row[0]}; cure: {cure}" for row in rows]
    return findings


async def _names(database: Database, sql: str, *arguments: object) -> list[str]:
    return [row[0] for row in await database.query(sql, *arguments)]


def _renumbered(sql: str, used: list[int]) -> str:
    """The statement with its parameters numbered from 1 without gaps, as Postgres wants them."""
    for position, number in enumerate(used, start=1):
        sql = sql.replace(f"${number}", f"${position}")
    return sql
