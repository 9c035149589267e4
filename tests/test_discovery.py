"""The surface describes itself: OpenRPC, JSON Schema and the reference, committed, and kept from breaking callers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.jsonschema import DRAFT7

from openhuman_core import __version__
from openhuman_core.app import generated_schemas
from tests.support.compatibility import breaks
from tests.support.daemon import Daemon

SCHEMAS = Path(__file__).parent.parent / "schemas"
# From the OpenRPC specification's own package of meta-schemas (Apache-2.0), version 1.3.2.
META_SCHEMA = Path(__file__).parent / "data" / "openrpc-1.3.2-meta-schema.json"


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """Give what the generator makes of the declarations as they are now."""
    return generated_schemas()


@pytest.fixture
def document(generated: dict[str, str]) -> dict[str, Any]:
    """Give the OpenRPC document, to read or to spoil."""
    content: dict[str, Any] = json.loads(generated["openrpc.json"])
    return content


def test_what_is_committed_is_what_the_declarations_say(generated: dict[str, str]) -> None:
    """Documents that lag behind are worse than none."""
    committed = {
        str(path.relative_to(SCHEMAS)): path.read_text(encoding="utf-8")
        for path in SCHEMAS.rglob("*.*")
        if "released" not in path.parts
    }
    assert committed == generated, "schemas/ is out of date: run scripts/generate-schemas and commit what it writes"


def test_rpc_discover_gives_the_committed_document(sandbox: Daemon, document: dict[str, Any]) -> None:
    """The sandbox's own methods come on top, where it is served."""
    served = sandbox.result("rpc.discover")
    served["methods"] = [m for m in served["methods"] if not m["name"].startswith("sandbox.")]
    assert served["methods"] == document["methods"]
    assert served["info"]["version"] == __version__


def test_the_document_is_openrpc(document: dict[str, Any]) -> None:
    """It holds against the specification's own meta-schema."""
    draft7 = {**Draft7Validator.META_SCHEMA, "definitions": {**Draft7Validator.META_SCHEMA["definitions"]}}
    draft7["definitions"]["JSONSchemaObject"] = {"properties": {"$ref": {"type": "string"}}}
    resource = DRAFT7.create_resource(draft7)
    registry: Registry[Any] = Registry().with_resources(
        [("https://meta.json-schema.tools", resource), ("https://meta.json-schema.tools/", resource)]
    )
    meta_schema = {**json.loads(META_SCHEMA.read_text(encoding="utf-8")), "$schema": Draft7Validator.META_SCHEMA["$id"]}
    problems = [error.message for error in Draft7Validator(meta_schema, registry=registry).iter_errors(document)]
    assert problems == []


def test_each_schema_is_draft_7(generated: dict[str, str], document: dict[str, Any]) -> None:
    """OpenRPC speaks draft-07; what only later drafts know does not occur, and every reference leads somewhere."""
    schemas = {name: json.loads(text) for name, text in generated.items() if name.startswith("methods/")}
    assert len(schemas) == len(document["methods"])
    for name, schema in schemas.items():
        Draft7Validator.check_schema(schema)
        assert validator_for(schema) is Draft7Validator
        for key, value in _members(schema):
            assert key not in {"$defs", "prefixItems", "unevaluatedProperties", "dependentRequired"}, name
            if key == "$ref":
                assert value.removeprefix("#/definitions/") in schema["definitions"], name


def test_every_method_says_what_a_caller_must_know(document: dict[str, Any]) -> None:
    """Params, result, errors, effect and auth are told of each; the route where there is one."""
    for method in document["methods"]:
        assert {"name", "summary", "params", "result", "errors", "x-effect", "x-auth"} <= method.keys()
        assert method["summary"].endswith(".")
        assert all(param["summary"] for param in method["params"])
        kinds = {error["$ref"].rpartition("/")[2] for error in method["errors"]}
        assert kinds <= document["components"]["errors"].keys()
        assert ("outcome_unknown" in kinds) == (method["x-effect"] in ("create", "money"))
        asks = "x-route" in method or method["name"] == "openhuman.auth_store_session"
        assert ("backend_timeout" in kinds) == asks


def test_the_reference_names_every_method_its_log_line_and_its_errors(
    generated: dict[str, str], document: dict[str, Any]
) -> None:
    """It is made of the same document."""
    sections = generated["reference.md"].split("\n### ")
    assert [section.partition("\n")[0] for section in sections[1:]] == [f"`{m['name']}`" for m in document["methods"]]
    for section, method in zip(sections[1:], document["methods"], strict=True):
        if "x-log" in method:
            assert f"`{method['x-log']}`" in section
        assert all(error["$ref"].rpartition("/")[2] in section for error in method["errors"])


def test_nothing_breaks_a_caller_of_the_last_release(document: dict[str, Any]) -> None:
    """A method or field gone, a new required param, a narrower type: such a change needs a new major version."""
    releases = sorted(
        (SCHEMAS / "released").glob("openrpc-*.json"),
        key=lambda path: [int(part) for part in path.stem.removeprefix("openrpc-").split(".")],
    )
    released = json.loads(releases[-1].read_text(encoding="utf-8"))
    assert breaks(released, document) == []


def _remove_method(document: dict[str, Any]) -> None:
    document["methods"] = [m for m in document["methods"] if m["name"] != "openhuman.billing_top_up"]


def _method(document: dict[str, Any], name: str) -> dict[str, Any]:
    method: dict[str, Any] = next(m for m in document["methods"] if m["name"] == name)
    return method


def _remove_param(document: dict[str, Any]) -> None:
    del _method(document, "openhuman.billing_top_up")["params"][0]


def _require_param(document: dict[str, Any]) -> None:
    _method(document, "openhuman.billing_top_up")["params"][1]["required"] = True


def _add_required_param(document: dict[str, Any]) -> None:
    param = {"name": "currency", "required": True, "schema": {"type": "string"}}
    _method(document, "openhuman.billing_top_up")["params"].append(param)


def _narrow_param(document: dict[str, Any]) -> None:
    _method(document, "openhuman.billing_top_up")["params"][0]["schema"]["type"] = "integer"


def _remove_field(document: dict[str, Any]) -> None:
    del document["components"]["schemas"]["TopUp"]["properties"]["url"]


def _change_field(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["TopUp"]["properties"]["url"]["type"] = "object"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_remove_method, "openhuman.billing_top_up: gone"),
        (_remove_param, "openhuman.billing_top_up: param amountUsd gone"),
        (_require_param, "openhuman.billing_top_up: param gateway newly required"),
        (_add_required_param, "openhuman.billing_top_up: param currency new and required"),
        (_narrow_param, "openhuman.billing_top_up: param amountUsd takes less"),
        (_remove_field, "openhuman.billing_top_up: result.result.url gone"),
        (_change_field, "openhuman.billing_top_up: result.result.url of another type"),
    ],
)
def test_what_breaks_a_caller_is_noticed(
    document: dict[str, Any], spoil: Callable[[dict[str, Any]], None], told: str
) -> None:
    """The check above can fail."""
    spoiled = copy.deepcopy(document)
    spoil(spoiled)
    assert breaks(document, spoiled) == [told]


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key != "properties":
                yield key, member
            yield from (
                pair for child in ([member] if key != "properties" else member.values()) for pair in _members(child)
            )
    elif isinstance(value, list):
        for item in value:
            yield from _members(item)
