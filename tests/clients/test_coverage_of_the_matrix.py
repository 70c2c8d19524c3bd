"""That every row of the tolerance matrix has a test that names it."""

import ast
import re
from pathlib import Path

ROWS = {f"L{number:02}" for number in range(1, 36)}


def _rows_of(function: ast.AsyncFunctionDef | ast.FunctionDef) -> set[str]:
    """The ids in the `pytest.mark.tolerance("...")` decorators of a test."""
    return {
        argument.value
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.tolerance"
        for argument in mark.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def test_every_row_of_the_tolerance_matrix_has_a_test() -> None:
    """L01 to L35 (client catalogue section 8), each marked on a function that pytest collects, none misspelt."""
    marked: set[str] = set()
    for module in Path(__file__).parent.glob("test_*.py"):
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name.startswith("test_"):
                marked |= _rows_of(node)

    assert marked == ROWS


def test_every_recorded_request_is_used() -> None:
    """A recording that no test plays proves nothing."""
    here = Path(__file__).parent
    used = set(re.findall(r'"([a-z]+/[a-z_]+\.json)"', "".join(module.read_text() for module in here.glob("*.py"))))
    used |= {f"entra/{name}.json" for name in ("update_with_flag", "update_without_flag")}

    assert {str(path.relative_to(here / "recorded")) for path in here.glob("recorded/*/*.json")} == used
