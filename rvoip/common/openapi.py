"""An OpenAPI 3.1 document written from the routes of an API and their types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from rvoip.common.problem import PROBLEM_TYPE, Problem
from rvoip.common.routing import Route

__all__ = ["document"]

_TEMPLATE = "#/components/schemas/{name}"


def document(title: str, version: str, description: str, routes: Sequence[Route]) -> dict[str, Any]:
    """Describe an API by its routes; the result is plain JSON."""
    types = [
        kind for route in routes for kind in (route.body, route.query, route.response) if kind is not None
    ] + [Problem]
    schemas, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    schema_of = {_key(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for route in routes:
        operation = _operation(route, schema_of, components)
        operation["operationId"] = _unique(operation["operationId"], route, used)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "login": {"type": "http", "scheme": "basic"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(route: Route, schema_of: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"\{(\w+)\}", route.path)
        ],
        "responses": {
            str(route.status): _response(route, schema_of),
            "default": {
                "description": "What went wrong",
                "content": {PROBLEM_TYPE: {"schema": schema_of[_key(Problem)]}},
            },
        },
        # Without credentials where the server asks for none: on loopback and Unix sockets.
        "security": []
        if route.is_public
        else [{"bearer": list(route.scopes)}, {"api_key": list(route.scopes)}, {"login": []}, {}],
    }
    if route.description:
        operation["description"] = route.description
    if route.query is not None:
        operation["parameters"] += _query(schema_of[_key(route.query)], components)
    if route.method == "POST":
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same key with the same request is answered again, not done again",
            }
        )
    operation["parameters"] += [
        {
            "name": name,
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": meaning,
        }
        for name, meaning in route.headers
    ]
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[_key(route.body)]}},
        }
    return operation


def _response(route: Route, schema_of: dict[Any, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.response is not None:
        response["content"] = {"application/json": {"schema": schema_of[_key(route.response)]}}
    elif route.content_type:
        response["content"] = {route.content_type: {"schema": {"type": "string"}}}
    return response


def _query(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    """List the fields of a query's struct as parameters."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema.get("properties", {}).items()
    ]


def _key(kind: Any) -> Any:
    """Types are hashable, some special forms only by their text."""
    try:
        hash(kind)
    except TypeError:
        return repr(kind)
    return kind


def _unique(name: str, route: Route, used: set[str]) -> str:
    if name in used:
        name = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")
    used.add(name)
    return name
