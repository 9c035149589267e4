"""What a new version of the surface would break for a caller of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]


def breaks(old: Document, new: Document) -> list[str]:
    """Name what a caller of `old` would miss, or be refused, in `new`."""
    methods = {method["name"]: method for method in new["methods"]}
    found: list[str] = []
    for method in old["methods"]:
        name = method["name"]
        if name not in methods:
            found.append(f"{name}: gone")
        else:
            found += [f"{name}: {problem}" for problem in _method(method, methods[name], old, new)]
    return found


def _method(before: Document, after: Document, old: Document, new: Document) -> Iterator[str]:
    params = {param["name"]: param for param in after["params"]}
    known = {param["name"]: param for param in before["params"]}
    for name, param in known.items():
        if name not in params:
            yield f"param {name} gone"
            continue
        if params[name]["required"] and not param["required"]:
            yield f"param {name} newly required"
        taken = _types(params[name]["schema"], new, name)
        for path, types in _types(param["schema"], old, name).items():
            if not types <= taken.get(path, types):
                yield f"param {path} takes less"
    yield from (f"param {name} new and required" for name in params if name not in known and params[name]["required"])
    given = _types(after["result"]["schema"], new, "result")
    for path, types in _types(before["result"]["schema"], old, "result").items():
        if path not in given:
            yield f"{path} gone"
        elif not given[path] <= types:
            yield f"{path} of another type"


def _types(schema: Any, document: Document, path: str) -> dict[str, frozenset[str]]:
    """Give the types, or the values of an enumeration, that stand at each path of a schema."""
    found: dict[str, frozenset[str]] = {}
    for arm in _arms(schema, document):
        values = arm.get("enum", [arm["const"]] if "const" in arm else [arm.get("type", "any")])
        found[path] = found.get(path, frozenset()) | {str(value) for value in values}
        for name, field in arm.get("properties", {}).items():
            found |= _types(field, document, f"{path}.{name}")
        if isinstance(arm.get("items"), dict) and arm["items"]:
            found |= _types(arm["items"], document, f"{path}[]")
    return found


def _arms(schema: Any, document: Document) -> list[Document]:
    if "$ref" in schema:
        return _arms(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    for union in ("anyOf", "allOf"):
        if union in schema:
            return [arm for part in schema[union] for arm in _arms(part, document)]
    return [schema]
