"""The portal: server-rendered pages for operators, a tenant's members, and whoever sets a connection up by link."""
