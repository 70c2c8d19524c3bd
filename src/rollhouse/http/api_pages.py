"""The page that documents the admin API: plain HTML made from its operations, without any script, styled by one sheet of our own."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

import msgspec

from rollhouse.http.api_document import statuses_of
from rollhouse.http.api_operations import Operation, Parameter
from rollhouse.http.problems import API_PATH, KINDS
from rollhouse.tenancy.idempotency import KEPT_HOURS
from rollhouse.tenancy.operators import SCOPES

CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
STYLE_SHEET = Path(__file__).with_name("static").joinpath("api.css").read_bytes()

_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rollhouse admin API</title>
<link rel="stylesheet" href="{API_PATH}/docs.css">
</head>
<body>
<a class="skip" href="#operations">To the operations</a>
<header>
<h1>Rollhouse admin API</h1>
<p>Tenants, their SCIM secrets, their directory and their audit, for operators. The same in OpenAPI 3.1:
<a href="{API_PATH}/openapi.json">openapi.json</a>.</p>
</header>
<main>
"""
_RULES = f"""<section aria-labelledby="rules">
<h2 id="rules">What holds for every operation</h2>
<dl>
<dt>Key</dt><dd>Send an operator's key as <code>Authorization: Bearer scimok_...</code>. Make one with
<code>rollhouse api-key create --scope tenants:read</code>.</dd>
<dt>Pages</dt><dd>A list takes <code>limit</code> (1 to 200) and <code>after</code>; it answers <code>items</code> and <code>next</code>.
Send <code>next</code> as <code>after</code> until it is null.</dd>
<dt>Versions</dt><dd>A tenant's <code>ETag</code> is its version. Send it in <code>If-Match</code>, and a change made meanwhile is not overwritten.</dd>
<dt>Repeats</dt><dd>Send an <code>Idempotency-Key</code> with every POST: the same request is carried out once, and its answer is kept for
{KEPT_HOURS} hours. A repeat has the header <code>Idempotent-Replayed: true</code>, and never a secret.</dd>
<dt>Refusals</dt><dd>Every refusal is <code>application/problem+json</code> (RFC 9457); <code>detail</code> says what to do,
<code>instance</code> is the id of the request.</dd>
</dl>
</section>
"""


def render_page(operations: Sequence[Operation], public_url: str) -> bytes:
    """The whole page; its examples call the service under its public address."""
    groups = dict.fromkeys(one.group for one in operations)
    rows = "".join(_row(one) for one in operations)
    parts = [
        _HEAD,
        _RULES,
        '<section aria-labelledby="operations"><h2 id="operations">Operations</h2>\n',
        '<table><thead><tr><th scope="col">Method</th><th scope="col">Path</th><th scope="col">Scope</th><th scope="col">What it does</th></tr></thead>\n',
        f"<tbody>{rows}</tbody></table></section>\n",
        *(_group(name, [one for one in operations if one.group == name], public_url) for name in groups),
        _scopes(),
        _problems(),
        "</main>\n</body>\n</html>\n",
    ]
    return "".join(parts).encode()


def _row(one: Operation) -> str:
    scope = f"<code>{escape(one.scope)}</code>" if one.scope else "none"
    link = f'<a href="#{one.name}"><code>{escape(API_PATH + one.path)}</code></a>'
    return f"<tr><td><code>{one.method}</code></td><td>{link}</td><td>{scope}</td><td>{escape(one.summary)}</td></tr>\n"


def _group(name: str, operations: list[Operation], public_url: str) -> str:
    return f"<section><h2>{escape(name)}</h2>\n" + "".join(_operation(one, public_url) for one in operations) + "</section>\n"


def _operation(one: Operation, public_url: str) -> str:
    refusals = ", ".join(f'<a href="#{KINDS[status].anchor}">{status}</a>' for status in statuses_of(one))
    members = _members(one.body) if one.body is not None else ""
    scope = f"scope <code>{escape(one.scope)}</code>" if one.scope else "no key"
    return (
        f'<article id="{one.name}"><h3><code>{one.method} {escape(API_PATH + one.path)}</code></h3>\n'
        f"<p>{escape(one.summary)} Needs {scope}; answers {one.status}; may refuse with {refusals}.</p>\n"
        f"{_parameters(one)}{members}<pre><code>{escape(curl(one, public_url))}</code></pre></article>\n"
    )


def curl(one: Operation, public_url: str) -> str:
    """A command line that carries the operation out; the key comes from the variable ROLLHOUSE_KEY of the shell."""
    path = one.path
    for parameter in one.parameters:
        if parameter.place == "path":
            path = path.replace(f"{{{parameter.name}}}", parameter.example)
    lines = [f"curl -X {one.method} '{public_url}{API_PATH}{path}'"]
    if one.scope is not None:
        lines.append('-H "Authorization: Bearer $ROLLHOUSE_KEY"')
    if one.takes_idempotency_key:
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if one.body is not None:
        lines += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(one.example or {})}'"]
    return " \\\n  ".join(lines)


def _parameters(one: Operation) -> str:
    headers = []
    if one.takes_if_match:
        headers.append(Parameter("If-Match", "header", "The ETag of the version that is to be changed.", '"3"'))
    if one.takes_idempotency_key:
        headers.append(Parameter("Idempotency-Key", "header", "A name for this request, best a random UUID; 1 to 255 characters.", "$(uuidgen)"))
    items = "".join(
        f"<li><code>{escape(parameter.name)}</code> ({parameter.place}, {parameter.kind}): {escape(parameter.description)}</li>"
        for parameter in (*one.parameters, *headers)
    )
    return f"<h4>Parameters</h4><ul>{items}</ul>\n" if items else ""


def _members(body: type[msgspec.Struct]) -> str:
    items = "".join(f"<li><code>{escape(field.encode_name)}</code>{', required' if field.required else ''}</li>" for field in msgspec.structs.fields(body))
    return f"<h4>Members of the body</h4><p>{escape(body.__doc__ or '')}</p><ul>{items}</ul>\n"


def _scopes() -> str:
    items = "".join(f"<dt><code>{name}</code></dt><dd>{escape(words)}</dd>\n" for name, words in SCOPES.items())
    return f'<section aria-labelledby="scopes"><h2 id="scopes">Scopes</h2><dl>{items}</dl></section>\n'


def _problems() -> str:
    items = "".join(f'<dt id="{kind.anchor}">{status} {escape(kind.title)}</dt><dd>{escape(kind.cure)}</dd>\n' for status, kind in KINDS.items())
    return f'<section aria-labelledby="problems"><h2 id="problems">Refusals</h2><dl>{items}</dl></section>\n'
