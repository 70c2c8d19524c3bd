"""What a room must not know: http reads resource types as data, and names none."""

import ast
from pathlib import Path

import pytest

from rollhouse.scim.schemas import GROUP_MEMBER, RESOURCE_TYPES

HTTP = sorted((Path(__file__).parents[2] / "src" / "rollhouse" / "http").glob("*.py"))
NAMES = {text for one in (*RESOURCE_TYPES, GROUP_MEMBER) for text in (one.name, one.endpoint, one.name.lower(), one.endpoint.lower(), one.schema.id)}
CONSTANTS = {"USER", "GROUP", "GROUP_MEMBER", "USER_URN", "GROUP_URN", "ENTERPRISE_URN"}


def named(source: str) -> list[tuple[int, str]]:
    """Where a source imports a resource type, or has the name or the endpoint of one as a text; docstrings aside."""
    tree = ast.parse(source)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if hasattr(node, "body") and isinstance(node.body, list) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(_, names):
                found += [(node.lineno, one.name) for one in names if one.name in CONSTANTS]
            case ast.Constant(str() as text) if id(node) not in prose and {part.strip("/ ") for part in text.split("/")} & NAMES:
                found.append((node.lineno, text))
    return found


@pytest.mark.parametrize("path", HTTP, ids=lambda path: path.name)
def test_http_knows_no_resource_type_by_name(path: Path) -> None:
    assert named(path.read_text()) == []


def test_the_search_finds_what_it_looks_for() -> None:
    assert named("from rollhouse.scim.schemas import USER") == [(1, "USER")]
    assert named('"""Users."""\npath = "/tenants/{slug}/users"\nkind = "Group"') == [(2, "/tenants/{slug}/users"), (3, "Group")]
