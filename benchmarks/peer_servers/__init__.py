"""What the comparison runs beside Rollhouse: two other SCIM servers in an environment of their own, and pgbench as the limit."""
