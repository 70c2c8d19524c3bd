"""Every row of the threat model is proven by a test that carries its id, or says what it waits for (THREAT_MODEL.md)."""

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "THREAT_MODEL.md").read_text()
IDS = [f"T{number:02}" for number in range(1, 51)]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if re.match(r"\| T\d", line)]
APPLYING = {row[0]: row[4] for row in ROWS if row[3] == "applies"}
WAITING = {row[0]: row[4] for row in ROWS if row[3] == "not yet"}
PROMISES = PAGE.partition("## What we promise\n")[2].partition("\n## ")[0]


def marks_of(node: ast.AST) -> list[str]:
    """The threats that one expression marks: `pytest.mark.threat("T01")`, alone or in a list."""
    calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.threat"]
    return [argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]


def marks_in(tree: ast.Module) -> list[str]:
    """The threats that a module's tests are marked with: a mark on what is no test counts for nothing."""
    found = []
    for node in tree.body:
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) if name.startswith("test_"):
                found += [mark for decorator in node.decorator_list for mark in marks_of(decorator)]
            case ast.Assign([ast.Name("pytestmark")], value):
                found += marks_of(value)
    return found


@lru_cache
def marked() -> dict[Path, list[str]]:
    """The marks of every test file."""
    return {path: marks_in(ast.parse(path.read_text())) for path in sorted((ROOT / "tests").rglob("test_*.py"))}


def files_of(threat: str) -> set[Path]:
    return {path for path, marks in marked().items() if threat in marks}


def paths_in(text: str) -> list[Path]:
    return [ROOT / path for path in re.findall(r"`(tests/[\w./-]+)`", text)]


def test_every_threat_has_one_row_in_order() -> None:
    assert [row[0] for row in ROWS] == IDS
    assert {len(row) for row in ROWS} == {5}
    assert {row[3] for row in ROWS} == {"applies", "not yet"}
    assert all(cell for row in ROWS for cell in row)


@pytest.mark.parametrize("threat", APPLYING)
def test_a_threat_that_applies_is_proven_by_a_test(threat: str) -> None:
    assert files_of(threat), f"no test carries @pytest.mark.threat({threat!r})"


@pytest.mark.parametrize("threat", APPLYING)
def test_each_place_that_a_row_names_holds_a_proof(threat: str) -> None:
    named = paths_in(APPLYING[threat])

    assert named
    assert [str(path.relative_to(ROOT)) for path in named if not any(file == path or path in file.parents for file in files_of(threat))] == []


@pytest.mark.parametrize("threat", WAITING)
def test_a_threat_that_waits_says_for_what_and_has_no_test_yet(threat: str) -> None:
    assert files_of(threat) == set(), "the row says `not yet`: say `applies`, and name the test"
    assert re.match(r"[A-Za-z]", WAITING[threat])
    assert paths_in(WAITING[threat]) == []


def test_no_test_carries_an_unknown_threat() -> None:
    unknown = {(str(path.relative_to(ROOT)), mark) for path, marks in marked().items() for mark in marks if mark not in IDS}

    assert unknown == set()


def test_every_mark_is_on_a_test_that_pytest_collects() -> None:
    """A mark on a helper, within a class or in a file that is not collected would prove nothing."""
    everywhere = {path: marks_of(ast.parse(path.read_text())) for path in sorted((ROOT / "tests").rglob("*.py"))}

    assert {str(path.relative_to(ROOT)) for path, marks in everywhere.items() if len(marks) != len(marked().get(path, []))} == set()


def test_every_promise_names_what_proves_it() -> None:
    promised = re.findall(r"\bT\d\d\b", PROMISES)

    assert sorted(promised) == sorted(APPLYING)
    assert all(re.search(r"\bT\d\d\b", promise) for promise in PROMISES.strip().split("\n- "))


def test_every_path_in_the_threat_model_exists() -> None:
    named = paths_in(PAGE) + [ROOT / path for path in re.findall(r"\]\(([^)#]+)\)", PAGE)]

    assert named
    assert [str(path) for path in named if not path.exists()] == []


@pytest.mark.parametrize(
    ("source", "marks"),
    [
        ('@pytest.mark.threat("T01")\nasync def test_a(): ...', ["T01"]),
        ('@pytest.mark.threat("T01")\n@pytest.mark.threat("T02")\ndef test_a(): ...', ["T01", "T02"]),
        ('pytestmark = [pytest.mark.threat("T03"), pytest.mark.other]', ["T03"]),
        ('@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.threat("T04"))])\ndef test_a(x): ...', ["T04"]),
        ('@pytest.mark.threat("T05")\ndef helper(): ...', []),
        ('# @pytest.mark.threat("T06")\ndef test_a(): ...', []),
    ],
)
def test_marks_are_read_as_pytest_reads_them(source: str, marks: list[Any]) -> None:
    assert marks_in(ast.parse(source)) == marks
