"""The real servers that the tests start and end: Postgres (embedded, and Debian's), Redis, and the service itself."""
