"""What the source itself must not hold: input in the text of a statement, a regular expression that backtracks, a secret compared with `==`."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rollhouse

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "rollhouse").rglob("*.py"))
SQL = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|SET (LOCAL|ROLE)|BEGIN|CREATE|ALTER|DROP|TRUNCATE|GRANT|NOTIFY|LISTEN|UNLISTEN|COPY|WHERE)\b")
SENDERS = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "query", "read", "call", "text", "literal_column", "TextClause")
RAW = ("literal_column", "text", "TextClause", "sqlalchemy.text", "sqlalchemy.literal_column")

COMPOSED = {
    ("database/roles.py", "statement"): "a constant of the same file",
    ("database/roles.py", "statement.split()[2]"): "a constant of the same file",
    ("database/roles.py", "name"): "a name of lower-case letters, digits and underscores, held to that before",
    ("database/roles.py", "setting"): "a constant of the same file",
    ("database/roles.py", "limit"): "a constant of the same file",
    ("database/roles.py", "quoted"): "a constant of the same file",
    ("tenancy/tenants.py", "columns"): "names of columns, which the callers write as constants",
    ("activity/request_log.py", "' AND '.join(conditions)"): "conditions that the function itself writes, with places for their values",
    ("directory/browsing.py", "at"): "a number that the function counts",
    ("directory/browsing.py", "at - 1"): "a number that the function counts",
    ("directory/browsing.py", "at - 2"): "a number that the function counts",
    ("directory/browsing.py", "FOUND_LIMIT"): "a constant of the same file",
    ("activity/request_log.py", "len(values)"): "a number that the function counts",
}
"""What a statement may be composed of beside constants, numbers and UUIDs, and why that is never input."""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / "src" / "rollhouse"))


def walk(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def constant_text(node: ast.AST) -> str:
    """The constant part of a text, "" of anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(constant_text(part) for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_constant_name(text: str) -> bool:
    return re.fullmatch(r"_?[A-Z][A-Z0-9_]*", text) is not None


def is_harmless(node: ast.AST, tree: ast.AST) -> bool:
    """Whether an expression is made of constants, whole numbers and UUIDs alone; a local name, whether all that is assigned to it is."""
    match node:
        case ast.Constant() | ast.Call(ast.Name("int" | "UUID")):
            return True
        case ast.Name(name) if is_constant_name(name):
            return True
        case ast.Name(name):
            assigned = [one.value for one in ast.walk(tree) if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == name]
            return bool(assigned) and all(is_harmless(value, tree) for value in assigned)
        case ast.JoinedStr(parts):
            return all(is_harmless(part.value, tree) for part in parts if isinstance(part, ast.FormattedValue))
        case ast.Call(ast.Name("min" | "max"), arguments):
            return all(is_harmless(argument, tree) for argument in arguments)
        case ast.BinOp(left, _, right):
            return is_harmless(left, tree) and is_harmless(right, tree)
    return False


def input_in_statements(path: Path) -> list[str]:
    """Every place of a source where something but a constant enters the text of a statement."""
    found = []
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() if SQL.search(constant_text(node)):
                parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue) and not is_harmless(part.value, tree)]
                found += [(node.lineno, ast.unparse(part)) for part in parts if (name_of(path), ast.unparse(part)) not in COMPOSED]
            case ast.BinOp(left, ast.Add() | ast.Mod(), right) if SQL.search(constant_text(left) + constant_text(right)):
                found += [(node.lineno, ast.unparse(side)) for side in (left, right) if not constant_text(side) and not is_harmless(side, tree)]
            case ast.Call(ast.Attribute(ast.Constant() as template, "format" | "replace" | "join")) if SQL.search(constant_text(template)):
                found.append((node.lineno, ast.unparse(node)))
            case ast.Call(ast.Name(sender) | ast.Attribute(_, sender), [ast.BinOp(_, ast.Add() | ast.Mod()) as first, *_]) if sender in SENDERS:
                found += [] if is_harmless(first, tree) else [(node.lineno, ast.unparse(first))]
    return [f"{name_of(path)}:{line} {part}" for line, part in found]


@pytest.mark.threat("T10")
def test_only_constants_are_composed_into_statements() -> None:
    assert [place for path in SOURCES for place in input_in_statements(path)] == []


@pytest.mark.threat("T10")
@pytest.mark.parametrize(
    "source",
    [
        'tx.fetch(f"SELECT 1 FROM t WHERE name = {name}")',
        'tx.fetch("SELECT 1 FROM t WHERE name = " + name)',
        'tx.fetch("SELECT 1 FROM t WHERE name = %s" % name)',
        'tx.fetch("SELECT 1 FROM t WHERE name = {}".format(name))',
        "tx.fetch(CONSTANT + name)",
    ],
)
def test_the_search_for_composed_statements_finds_them(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.threats.test_source.name_of", lambda path: path.name)
    (tmp_path / "bad.py").write_text(source)

    assert input_in_statements(tmp_path / "bad.py")


@pytest.mark.threat("T10")
def test_raw_fragments_of_sql_are_constants() -> None:
    """SQLAlchemy's doors for raw text take a literal only."""
    doors = [call for path in SOURCES for call in walk(path) if isinstance(call, ast.Call) and ast.unparse(call.func) in RAW]

    for call in doors:
        first = call.args[0]
        assert isinstance(first, ast.Constant | ast.JoinedStr), ast.unparse(call)
        assert is_harmless(first, first), ast.unparse(call)
    assert doors


def modules() -> list[Any]:
    named = [found.name for found in pkgutil.walk_packages(rollhouse.__path__, "rollhouse.") if not found.name.startswith("rollhouse._")]
    return [importlib.import_module(name) for name in named]


def expressions() -> list[tuple[str, str, "re.Pattern[Any]"]]:
    """Every regular expression of the source and the method it is used by, as (place, method, expression)."""
    found = []
    for module in modules():
        for node in walk(Path(module.__file__)):
            match node:
                case ast.Call(ast.Attribute(ast.Name("re"), method), [ast.Constant(str() | bytes() as pattern), *_]) if method != "compile":
                    found.append((f"{module.__name__}:{node.lineno}", method, re.compile(pattern)))
                case ast.Call(ast.Attribute(ast.Name(name), method)) if isinstance(getattr(module, name, None), re.Pattern):
                    found.append((f"{module.__name__}.{name}", method, getattr(module, name)))
    return found


HOSTILE = ['"', "\\", '\\"', '"a', "a", "0", " ", "\t ", "-", "a-", "[", "[.", "/", "//", "W/", "urn:", "\\u00", "\\ud83d", "T:", "\xc2", "\u0300"]
"""What is repeated 20,000 times: an expression that backtracks would need hours for one of them, as many steps as their square or more."""
REPEATED = 20_000


@pytest.mark.threat("T14")
def test_every_regular_expression_takes_time_in_proportion_to_its_input() -> None:
    slow = []
    found = expressions()
    for place, method, pattern in found:
        for bait in HOSTILE:
            for tail in ("", "!", "\0"):
                text = bait * REPEATED + tail
                subject = text.encode("utf-8") if isinstance(pattern.pattern, bytes) else text
                arguments: tuple[Any, ...] = (b"" if isinstance(subject, bytes) else "", subject) if method in ("sub", "subn") else (subject,)
                started = time.process_time()
                getattr(pattern, method)(*arguments)
                if time.process_time() - started > 1.0:
                    slow.append((place, bait, tail))
    assert slow == []
    assert len(found) >= 10


@pytest.mark.threat("T14")
def test_a_quantifier_inside_a_quantifier_is_known_and_unambiguous() -> None:
    """The one that is allowed begins each round with a backslash, which its inner class excludes: there is one way to read a text."""
    nested = {pattern.pattern for _, _, pattern in expressions() if re.search(rb"[*+]\)[*+{]", ascii_form(pattern.pattern))}

    assert nested <= {r'"[^"\\]*(?:\\.[^"\\]*)*"'}


def ascii_form(pattern: str | bytes) -> bytes:
    return pattern if isinstance(pattern, bytes) else pattern.encode("utf-8", "backslashreplace")


PROOF = re.compile(r"(^|[._])(mac|secret|token|signature|checksum|pepper|digest|password)s?$|(^|[._])_?(mac|checksum|digest|hexdigest)\(")
COMPARED = {"secret != rest": "whether white space was cut off"}
"""Comparisons that look like one of secrets and decide nothing."""


@pytest.mark.threat("T26")
def test_no_secret_is_compared_by_a_comparison_that_ends_early() -> None:
    """`==` on texts and bytes ends at the first difference; what proves a right goes through `hmac.compare_digest`."""
    early = []
    for path in SOURCES:
        for node in walk(path):
            if isinstance(node, ast.Compare) and any(isinstance(one, ast.Eq | ast.NotEq) for one in node.ops):
                sides = [node.left, *node.comparators]
                is_secret = any(PROOF.search(ast.unparse(side)) for side in sides) and not any(isinstance(side, ast.Constant) for side in sides)
                early += [f"{name_of(path)}:{node.lineno} {ast.unparse(node)}"] if is_secret and ast.unparse(node) not in COMPARED else []
    assert early == []


WALL_CLOCK = {
    "telemetry/": "the time of a log line",
    "journal/": "when a seal was made",
    "tenancy/": "whether a credential or a token has expired",
    "worker/": "how old the oldest unsealed row is",
    "activity/health.py": "how long ago something was, for people",
    "portal/": "how long ago something was, for people",
    "directory/archive.py": "when an export was made",
    "http/cursors.py": "whether a cursor is an hour old, which no process needs to know exactly",
    "cli/": "a person's own commands",
    "simulator/": "a client",
    "database/health.py": "whether this machine's clock is the server's",
    "database/identifiers.py": "the time in a UUID of version 7, which orders and never decides",
}
"""Where alone the wall clock of a process is asked, and what for."""
CLOCKS = re.compile(r"(datetime|dt)\.(now|utcnow|today)|time\.(time|time_ns|gmtime|localtime)|date\.today")


@pytest.mark.threat("T45")
def test_the_wall_clock_of_a_process_is_asked_in_few_known_places() -> None:
    """Stored times come from the database, time-outs and caches from the monotonic clock, which no step of the wall clock moves."""
    rest = [path for path in SOURCES if not name_of(path).startswith(tuple(WALL_CLOCK))]

    asking = {name_of(path) for path in rest for node in walk(path) if isinstance(node, ast.Call) and CLOCKS.fullmatch(ast.unparse(node.func))}

    assert asking == set(), "ask time.monotonic() or the database"
    assert {"http", "limits", "directory", "scim", "database"} <= {path.parent.name for path in rest}
