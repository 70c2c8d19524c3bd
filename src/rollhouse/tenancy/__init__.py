"""Tenants and the credentials by which they are known."""
