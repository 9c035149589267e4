"""Views of the set of methods: the OpenRPC document, a JSON Schema per method, and the Markdown reference.

OpenRPC 1.3.2 speaks draft-07 of JSON Schema, pydantic the 2020-12 draft: what differs is converted here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from openhuman_core import __version__, errors
from openhuman_core.backend.route import Effect
from openhuman_core.registry.method import Method, summary_of
from openhuman_core.registry.params import ReadOptions

COMPONENTS = "#/components/schemas/"

ERRORS: Mapping[str, type[errors.CoreError]] = {
    error.kind: error for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "kind")
}
# Every call can fail so, whatever it does.
ALWAYS = ("parse_error", "invalid_request", "invalid_params", "internal_error")
# Only what leaves this program can fail so.
SENT = (
    "forbidden",
    "not_found",
    "conflict",
    "rejected",
    "rate_limited",
    "backend_unavailable",
    "backend_timeout",
    "bad_backend_response",
)


def document(
    methods: list[Method],
    builtins: Mapping[str, Callable[..., Any]],
    denial: Callable[[Method], str | None] = lambda _method: None,
) -> dict[str, Any]:
    """Build the OpenRPC document of the methods and the built-ins; `denial` says why a method may not be called."""
    results = {method.name: method.result for method in methods}
    results |= {name: get_type_hints(handler)["return"] for name, handler in builtins.items()}
    shapes, schemas = _shapes(results)
    return {
        "openrpc": "1.3.2",
        "info": {
            "title": "openhuman-core",
            "description": "The stable surface over the OpenHuman hosted API.",
            "version": __version__,
            "license": {"name": "GPL-3.0-only"},
        },
        "methods": [
            *(_builtin_entry(name, handler, shapes[name]) for name, handler in builtins.items()),
            *(_entry(method, shapes[method.name], denial(method)) for method in methods),
        ],
        "components": {
            "schemas": schemas,
            "errors": {kind: {"code": error.code, "message": kind} for kind, error in ERRORS.items()},
        },
    }


def error_kinds(method: Method) -> list[str]:
    """Name the kinds in which a call to the method can fail."""
    kinds = [*ALWAYS, "cancelled", "shutting_down", "configuration", "policy_denied"]
    if method.effect is not Effect.READ:
        kinds += ["idempotency_conflict", "journal_unavailable"]
    if method.needs_credential:
        kinds += ["unauthenticated", "session_expired", "api_key_rejected"]
    if method.route is not None:
        kinds += SENT
        if not method.effect.repeatable:
            kinds.append("outcome_unknown")
    if method.name == "openhuman.auth_store_session":  # needs no credential, and is refused one
        kinds.append("unauthenticated")
    return [kind for kind in ERRORS if kind in kinds]


def schemas(document: Mapping[str, Any], any_params: Collection[str]) -> dict[str, dict[str, Any]]:
    """Make a self-contained JSON Schema (draft-07) of each method's params and result, by method name.

    `any_params` names the methods that take whatever params they are sent.
    """
    components = document["components"]["schemas"]
    return {
        method["name"]: _localized(
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "title": method["name"],
                "type": "object",
                "required": ["params", "result"],
                "properties": {
                    "params": {
                        "type": "object",
                        "additionalProperties": method["name"] in any_params,
                        "required": [param["name"] for param in method["params"] if param["required"]],
                        "properties": {param["name"]: param["schema"] for param in method["params"]},
                    },
                    "result": method["result"]["schema"],
                },
            },
            components,
        )
        for method in document["methods"]
    }


def _shapes(types: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make the schema of each type, and the definitions that they share."""
    inputs = [(name, "serialization", TypeAdapter(shape)) for name, shape in types.items()]
    found, shared = TypeAdapter.json_schemas(inputs, ref_template=COMPONENTS + "{model}")  # type: ignore[arg-type]
    return (
        {name: _draft7(schema) for (name, _), schema in found.items()},
        {name: _draft7(schema) for name, schema in shared.get("$defs", {}).items()},
    )


def _entry(method: Method, shape: dict[str, Any], denial: str | None) -> dict[str, Any]:
    result = shape if method.log is None else _wrapped(shape)
    own = _params(method.params)
    entry = {
        "name": method.name,
        "summary": method.summary,
        "tags": [{"name": method.namespace.name}],
        "paramStructure": "by-name",
        "params": own + [param for param in _params(method.options) if param["name"] not in {p["name"] for p in own}],
        "result": {"name": "outcome" if method.log else "result", "schema": result},
        "errors": [{"$ref": f"#/components/errors/{kind}"} for kind in error_kinds(method)],
        "x-effect": method.effect.value,
        "x-auth": "credential" if method.needs_credential else "none",
        "x-route": str(method.route) if method.route else None,
        "x-log": method.log,
        "x-verify": method.verify,
        "x-destructive": method.destructive,
        "x-secret": method.secret,
        "x-denied": denial,
    }
    return {name: value for name, value in entry.items() if value is not None and value is not False}


def _builtin_entry(name: str, handler: Callable[..., Any], shape: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "summary": summary_of(handler),
        "tags": [{"name": name.partition(".")[0]}],
        "paramStructure": "by-name",
        "params": _params(ReadOptions),
        "result": {"name": "result", "schema": shape},
        "errors": [{"$ref": f"#/components/errors/{kind}"} for kind in ALWAYS],
        "x-effect": Effect.READ.value,
        "x-auth": "none",
    }


def _wrapped(payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["result", "logs"],
        "properties": {"result": payload, "logs": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    }


def _params(model: type[Any]) -> list[dict[str, Any]]:
    schema = _draft7(model.model_json_schema(ref_template=COMPONENTS + "{model}"))
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "summary": field.pop("description", ""),
            "required": name in required,
            "schema": field if name in required else _nullable(field),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """Say that null is taken and means absent, as for every optional param."""
    arms = schema.get("anyOf", [])
    if schema.get("default", ...) is None:
        del schema["default"]
    if {"type": "null"} in arms or not schema.keys() - {"default"}:
        return schema
    default = {"default": schema.pop("default")} if "default" in schema else {}
    return {**default, "anyOf": [schema, {"type": "null"}]}


def _draft7(schema: Any) -> Any:
    """Convert from the 2020-12 draft: beside a $ref nothing else counts in draft-07, so it goes into an allOf.

    The titles that pydantic makes of names say nothing and are dropped.
    """
    if isinstance(schema, list):
        return [_draft7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {name: _draft7(value) for name, value in schema.items() if name != "$defs"}
    if isinstance(converted.get("title"), str):
        del converted["title"]
    if "$ref" in converted and len(converted) > 1:
        converted["allOf"] = [{"$ref": converted.pop("$ref")}]
    return converted


def _localized(schema: dict[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    """Carry the shared definitions that a schema needs inside of it."""
    needed: dict[str, Any] = {}
    todo = [schema]
    while todo:
        text = json.dumps(todo.pop())
        for name, definition in components.items():
            if name not in needed and f'"{COMPONENTS}{name}"' in text:
                needed[name] = definition
                todo.append(definition)
    whole = {**schema, "definitions": needed} if needed else schema
    localized: dict[str, Any] = json.loads(json.dumps(whole).replace(COMPONENTS, "#/definitions/"))
    return localized
