"""The three roles and the database, as the SQL that a superuser runs once (house invariant 1)."""

import re

DATABASE = "rollhouse"
_LOGIN = re.compile(r"[a-z_][a-z0-9_]{0,62}")

ROLES = (
    "CREATE ROLE rollhouse_owner NOLOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE rollhouse_migrator LOGIN NOSUPERUSER NOBYPASSRLS",
    "CREATE ROLE rollhouse_app LOGIN NOSUPERUSER NOBYPASSRLS",
)
LIMITS = ("statement_timeout = '5s'", "lock_timeout = '2s'", "idle_in_transaction_session_timeout = '10s'")
SETTINGS = ("GRANT rollhouse_owner TO rollhouse_migrator", *(f"ALTER ROLE rollhouse_app SET {limit}" for limit in LIMITS))
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
    lines += [_unless_there(statement) for statement in ROLES]
    lines += [f"{statement};" for statement in SETTINGS]
    lines += DATABASE_LINES
    lines += ["-- Then give both login roles a password: \\password rollhouse_app and \\password rollhouse_migrator"]
    return "\n".join(lines) + "\n"


def login_script(name: str) -> str:
    """A second login for the service, whose sessions act as rollhouse_app: with it a password is exchanged while both are good.

    Raises:
        ValueError: the name is not one of lower-case letters, digits and underscores, at most 63.
    """
    if _LOGIN.fullmatch(name) is None:
        raise ValueError("the name of a role has lower-case letters, digits and underscores, at most 63")
    create = f"CREATE ROLE {name} LOGIN NOSUPERUSER NOBYPASSRLS IN ROLE rollhouse_app"
    lines = ["-- Run as a superuser. The login has the rights of rollhouse_app and no others.", _unless_there(create)]
    lines += [f"ALTER ROLE {name} SET {setting};" for setting in ("role = 'rollhouse_app'", *LIMITS)]
    lines += [f"-- Then give it a password: \\password {name}"]
    return "\n".join(lines) + "\n"


def _unless_there(statement: str) -> str:
    return f"SELECT '{statement}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{statement.split()[2]}') \\gexec"
