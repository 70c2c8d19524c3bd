"""The hot operations, how many requests measure each, and over how many connections."""

GET, FIND, PAGE, POST, PATCH = "GET by id", "userName eq", "page of 100", "POST a user", "PATCH active"
COUNTS = {GET: 1600, FIND: 1600, PAGE: 40, POST: 400, PATCH: 800}
"""Requests of one measurement, at most."""
ADDITIONS = 400
"""The same of those that add a member, each another one."""
CONNECTIONS = {GET: 8, FIND: 8, POST: 8, PATCH: 8}
"""One for what takes long or waits for a row: a page, a member."""


def add_to(size: int) -> str:
    """The operation that adds one member to a group of that size."""
    return f"add a member to {size:,}"
