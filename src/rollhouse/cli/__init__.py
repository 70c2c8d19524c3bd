"""The `rollhouse` command."""
