"""The hot operations, how many requests measure each, and over how many connections."""

GET, FIND, PAGE, POST, PATCH = "GET by id", "userName eq", "page of 100", "POST a user", "PATCH active"
COUNTS = {GET: 1600, FIND: 1600, PAGE: 40, POST: 400, PATCH: 800}
"""Requests of one measurement, at most."""
ADDITIONS = 400
"""The same of those that add a member, each another one."""
COUNT_ALONE = 400
"""The same of what is sent one by one and by several at once, when it is sent one by one."""
CONNECTIONS = {GET: 8, FIND: 8, POST: 8, PATCH: 8}
"""One for what takes long or waits for a row: a page, a member."""


def ways_of(operation: str) -> dict[int, int]:
    """How many requests are sent over how many connections: by several at once, as the goals are measured, and one by one."""
    connections = CONNECTIONS.get(operation, 1)
    found = {connections: COUNTS.get(operation, ADDITIONS)}
    return found | {1: COUNT_ALONE} if connections > 1 else found


def add_to(size: int) -> str:
    """The operation that adds one member to a group of that size."""
    return f"add a member to {size:,}"
