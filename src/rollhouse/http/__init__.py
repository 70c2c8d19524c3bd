"""The HTTP edge on Litestar: composition root, gates, SCIM routes, health, and the answers to every error."""
