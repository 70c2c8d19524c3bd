"""The three roles and the database, as the SQL that a superuser runs once (house invariant 1)."""

DATABASE = "rollhouse"

ROLES = (
    "CREATE ROLE rollhouse_owner NOLOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE rollhouse_migrator LOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE rollhouse_app LOGIN NOSUPERUSER NOBYPASSRLS",
)
SETTINGS = (
    "GRANT rollhouse_owner TO rollhouse_migrator",
    "ALTER ROLE rollhouse_app SET statement_timeout = '5s'",
    "ALTER ROLE rollhouse_app SET lock_timeout = '2s'",
    "ALTER ROLE rollhouse_app SET idle_in_transaction_session_timeout = '10s'",
)
DATABASE_LINES = (
    "\\if :{?database}",
    "\\else",
    f"\\set database {DATABASE}",
    "\\endif",
    (
        "SELECT format('CREATE DATABASE %I OWNER rollhouse_owner ENCODING ''UTF8'' TEMPLATE template0', :'database')"
        " WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \\gexec"
    ),
    'REVOKE ALL ON DATABASE :"database" FROM PUBLIC;',
    'GRANT CONNECT ON DATABASE :"database" TO rollhouse_app, rollhouse_migrator;',
)
"""The database, in psql's own words, so that psql quotes its name."""


def bootstrap_script() -> str:
    """The statements as a psql script that can be run again: `rollhouse migrate --print-roles | psql -X -v ON_ERROR_STOP=1`.

    Another name of the database: `-v database=scim`.
    """
    lines = ["-- Run once as a superuser, connected to the database postgres. It can be run again. Another database: psql -v database=NAME"]
    lines += [f"SELECT '{statement}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{statement.split()[2]}') \\gexec" for statement in ROLES]
    lines += [f"{statement};" for statement in SETTINGS]
    lines += DATABASE_LINES
    lines += ["-- Then give both login roles a password: \\password rollhouse_app and \\password rollhouse_migrator"]
    return "\n".join(lines) + "\n"
