"""The SCIM 2.0 protocol as pure values: schemas, filters, PATCH, projection, messages and errors; no I/O."""
