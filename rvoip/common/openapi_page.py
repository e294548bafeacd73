"""An OpenAPI document as a page for people: HTML that needs no script and nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

__all__ = ["POLICY", "page"]

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of the page."""

_STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
body{color:#222;background:#fff}
code,pre{font:13px/1.4 ui-monospace,monospace}h2{margin:2rem 0 .5rem;border-bottom:1px solid #ccc}
details{margin:.3rem 0;padding:.3rem .6rem;border:1px solid #ddd;border-radius:4px}summary{cursor:pointer}
table{border-collapse:collapse;margin:.5rem 0}
td,th{border:1px solid #ddd;padding:.15rem .5rem;text-align:left}
b.m{display:inline-block;width:4.5rem}i{color:#555;font-style:normal}
@media(prefers-color-scheme:dark){
body{color:#ddd;background:#1b1b1b}h2,details,td,th{border-color:#444}i{color:#aaa}a{color:#8bf}}
"""

_ORDER: Final = ("get", "post", "put", "patch", "delete")


def page(document: Mapping[str, Any]) -> bytes:
    """The page of a document as `rvoip.common.openapi.document` makes it, in UTF-8."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    groups: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        operations = groups.setdefault(_group(path), [])
        operations += [_operation(method, path, item[method]) for method in _ORDER if method in item]
    schemas = document["components"]["schemas"]
    parts = [
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{title}</title>",
        '<meta name=viewport content="width=device-width">',
        f"<style>{_STYLE}</style><h1>{title}</h1><p>{escape(info.get('description', ''))}</p>",
        "<p>For programs: <a href=openapi.json>openapi.json</a> (OpenAPI "
        f"{escape(document['openapi'])}), from which generators make clients.</p>",
        *(f"<h2>{escape(name)}</h2>{''.join(found)}" for name, found in sorted(groups.items())),
        "<h2>Schemas</h2>",
        *(_schema(name, schema) for name, schema in sorted(schemas.items())),
    ]
    return "\n".join(parts).encode()


def _group(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[1] if parts[0] == "v1" and len(parts) > 1 else parts[0]


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    rows = [
        (one["name"], one["in"], _type(one["schema"]), one.get("required", False), one.get("description", ""))
        for one in operation["parameters"]
    ]
    text = [f"<summary><b class=m>{method.upper()}</b><code>{escape(path)}</code> "]
    text.append(f"<i>{escape(operation['summary'])}</i></summary>")
    if operation.get("description"):
        text.append(f"<p>{escape(operation['description'])}</p>")
    scopes = [scope for one in operation["security"] for scope in one.get("bearer", ())]
    if not operation["security"]:
        text.append("<p>Open to all.</p>")
    elif scopes:
        text.append(f"<p>Scopes: <code>{escape(', '.join(scopes))}</code></p>")
    if rows:
        text.append("<table><tr><th>parameter<th>in<th>type<th>")
        for name, place, kind, required, said in rows:
            needed = "required. " if required else ""
            text.append(f"<tr><td><code>{escape(name)}</code><td>{place}<td>{kind}<td>{needed}{escape(said)}")
        text.append("</table>")
    body = operation.get("requestBody", {}).get("content", {})
    text += [f"<p>Body: {kind}</p>" for kind in _contents(body)]
    for status, answer in operation["responses"].items():
        kinds = ", ".join(_contents(answer.get("content", {})))
        text.append(f"<p><b>{escape(status)}</b> {escape(answer['description'])} {kinds}</p>")
    return f"<details>{''.join(text)}</details>"


def _contents(content: Mapping[str, Any]) -> Iterator[str]:
    for kind, one in content.items():
        yield f"{_type(one['schema'])} <i>{escape(kind)}</i>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    said = escape(schema.get("description", ""))
    text = [f"<summary><code>{escape(name)}</code></summary><p>{said}</p>"]
    if "properties" in schema:
        text.append("<table><tr><th>field<th>type<th>")
        for field, one in schema["properties"].items():
            needed = "required. " if field in required else ""
            about = escape(one.get("description", ""))
            text.append(f"<tr><td><code>{escape(field)}</code><td>{_type(one)}<td>{needed}{about}")
        text.append("</table>")
    else:
        text.append(f"<p>{_type(schema)}</p>")
    return f'<details id="{_anchor(name)}">{"".join(text)}</details>'


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a word or two, as HTML."""
    reference = schema.get("$ref")
    if reference is not None:
        name = str(reference).rpartition("/")[2]
        return f'<a href="#{_anchor(name)}">{escape(name)}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(one) for one in schema[key])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(repr(one))}</code>" for one in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    limits = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("minLength", "from"), ("maxLength", "to"))
        if key in schema
    ]
    return escape(" ".join([kind, *limits]))


def _anchor(name: str) -> str:
    return re.sub(r"\W", "-", name)
