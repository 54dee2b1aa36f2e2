"""The API's description as one plain page, made from the OpenAPI document: no script, no CDN."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
section { border-top: 1px solid #8886; padding: .5rem 0 }
h3 { font-size: 1rem; margin: .5rem 0 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 }
dd { margin: 0 }
"""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def page(described: dict[str, Any]) -> str:
    """The page: every path with its methods, parameters, body and result."""
    info = described["info"]
    sections = "\n".join(
        _operation(method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])} API</title>
<style>{STYLE}</style>
<h1>{escape(info["title"])} API {escape(info["version"])}</h1>
<p>{escape(info["description"])}
<p>The same for programs: <a href="openapi.json">openapi.json</a>.
{sections}
<h2>Schemas</h2>
{_schemas(described)}
</html>
"""


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    return f"""<section id="{escape(operation["operationId"])}">
<h3><code>{method.upper()} {escape(path)}</code></h3>
<p>{escape(operation.get("summary", ""))}
{_parameters(operation.get("parameters", []))}
{_body(operation)}
</section>"""


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<dt><code>{escape(each['name'])}</code> ({escape(each['in'])})"
        f"<dd>{escape(each.get('description', ''))}"
        for each in parameters
    )
    return f"<dl>{rows}</dl>"


def _body(operation: dict[str, Any]) -> str:
    said = []
    if body := operation.get("requestBody"):
        said.append("Takes " + _contents(body["content"]))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            said.append(f"Gives {status}: " + _contents(response.get("content", {})))
    return "".join(f"<p>{line}" for line in said)


def _contents(content: dict[str, Any]) -> str:
    return ", ".join(
        f"{escape(kind)} {_type(each.get('schema', {}))}" for kind, each in content.items()
    )


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words, with a link to the named ones."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return escape(str(schema.get("type", "")))


def _schemas(described: dict[str, Any]) -> str:
    return "\n".join(
        f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        f"<p>{escape(schema.get('description', ''))}"
        f"{_properties(schema)}</section>"
        for name, schema in sorted(described["components"]["schemas"].items())
    )


def _properties(schema: dict[str, Any]) -> str:
    if values := schema.get("enum"):
        return f"<p>One of {escape(', '.join(map(str, values)))}."
    rows = "".join(
        f"<dt><code>{escape(name)}</code><dd>{_type(each)}"
        for name, each in schema.get("properties", {}).items()
    )
    return f"<dl>{rows}</dl>"
