"""A tenant's resources and memberships: every SQL statement about them."""
