"""Postgres: pools, the tenant transaction, what an SQLSTATE means, migrations, and the gate that checks the catalog."""
