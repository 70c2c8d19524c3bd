"""Prints docs/tolerances.md from the names in the code: python docs/tolerances.py > docs/tolerances.md."""

import ast
import inspect
import sys

from rollhouse.scim import tolerances

INTRODUCTION = """# Tolerances

Real identity providers send what no RFC allows. Each deviation below is accepted from every tenant, without a switch; what
is answered is always textbook SCIM. How often each is needed stands in the metrics `rollhouse_tolerances_total`, by the name
in the first column, and `rollhouse_tenant_tolerances_total`, by tenant, too. (L-numbers count the rules that the tests in
`tests/clients` prove one by one.)

A tenant can be made strict, for conformance runs: `rollhouse tenant profile acme --strict`. It is then refused what the last
column says, in words that name the section of the RFC; what the RFCs allow or demand stays.

| name | what is accepted | from a strict tenant |
|---|---|---|
"""


def table() -> str:
    """The whole page."""
    body = next(node for node in ast.parse(inspect.getsource(tolerances)).body if isinstance(node, ast.ClassDef)).body[1:]
    rows = []
    for name, words in zip(body[::2], body[1::2], strict=True):
        member, text = (ast.literal_eval(statement.value) for statement in (name, words))  # type: ignore[attr-defined]
        refusal = tolerances.REFUSED.get(tolerances.Tolerance(member))
        strict = f"400 `{refusal[0].scim_type}`" if refusal is not None else "the same"
        rows.append(f"| `{member}` | {' '.join(text.split())} | {strict} |")
    return INTRODUCTION + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
