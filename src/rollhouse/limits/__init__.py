"""Per-tenant rate limits: one decision type, counted in Redis for all processes or in this process alone."""
