"""The background process: sealing the audit, purging tenants, and deleting what has expired."""
