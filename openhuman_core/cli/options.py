"""Params as options, made from the models that the methods declare."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click

from openhuman_core.app import registry
from openhuman_core.cli.text import kebab
from openhuman_core.errors import MethodNotFound
from openhuman_core.protocol import messages
from openhuman_core.registry.method import Method
from openhuman_core.runtime.redaction import redact

TYPES = {
    "bool": "boolean",
    "dict": "object",
    "float": "number",
    "int": "integer",
    "list": "array",
    "SecretStr": "secret",
}


@dataclass(frozen=True, slots=True)
class Param:
    """One param of a method; `name` is the wire's, `type` JSON's, or `secret` for what must not be seen."""

    name: str
    type: str
    help: str
    required: bool

    @property
    def option(self) -> str:
        """The name as the command line spells it."""
        return kebab(self.name)


def params_of(method: Method) -> list[Param]:
    """Give the params of a method that are options, its own first."""
    fields = {**_fields(method.options), **_fields(method.params)}
    found: dict[str, Param] = {}
    for name, field in fields.items():
        if name != "progressToken":  # progress goes to stderr here, and needs no name
            param = Param(name, _type_of(field.annotation), field.description or "", field.is_required())
            found.setdefault(param.option, param)  # of two spellings of one name the first counts
    return sorted(found.values(), key=lambda param: (not param.required, param.name in ("timeoutMs", "idempotencyKey")))


def options_for(param: Param) -> list[click.Option]:
    """Make the options of a param; a secret is never one itself, since the list of processes shows those."""
    text = param.help if not param.required else f"{param.help}  [required]"
    if param.type == "secret":
        return [
            click.Option([f"--{param.option}-stdin"], is_flag=True, help=f"Read it from stdin: {text}"),
            click.Option([f"--{param.option}-file"], type=click.Path(), help=f"Read it from a file: {text}"),
        ]
    if param.type == "boolean":
        return [click.Option([f"--{param.option}/--no-{param.option}"], default=None, help=text)]
    metavar = {"object": "JSON|@FILE|-", "array": "VALUE", "integer": "N", "number": "N"}.get(param.type, "TEXT")
    return [click.Option([f"--{param.option}"], metavar=metavar, multiple=param.type == "array", help=text)]


def gather(params: list[Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """Make a call's params of what click read; raises `click.UsageError` for what cannot be read."""
    values: dict[str, Any] = {}
    for param in params:
        name = param.option.replace("-", "_")
        value = _secret(param, given) if param.type == "secret" else given.get(name)
        if param.type == "array" and value:
            values[param.name] = [item for one in value for item in parse(param, one)]
        elif param.type == "object" and value is not None:
            values[param.name] = parse(param, content(value))
        elif isinstance(value, str):
            values[param.name] = parse(param, value)
        elif isinstance(value, bool):
            values[param.name] = value
    return values


def parse(param: Param, text: str) -> Any:
    """Read the text of one value; raises `click.UsageError` for an object or an array that is no JSON.

    A number or a boolean that is none stays text, since the method's own check words that better.
    """
    if param.type in ("integer", "number"):
        value = decode(text)
        return value if type(value) in (int, float) else text
    if param.type == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    if param.type == "object":
        return _json(param, text)
    if param.type == "array":
        return _json(param, text) if text.startswith("[") else [text]
    return text


def decode(text: str) -> Any:
    """Read JSON as strictly as the wire does; gives its value, or `Malformed`, also for bytes that are no UTF-8."""
    return messages.decode(text.encode(errors="surrogateescape"))


def secrets_of(name: str) -> set[str]:
    """Name the params of a method that are secrets; none for one that there is not."""
    try:
        method = registry().find(name)
    except MethodNotFound:
        return set()
    return {param.name for param in params_of(method) if param.type == "secret"}


def content(text: str) -> str:
    """Give what `-` and `@file` stand for, and other text as it is; raises `click.UsageError`."""
    if text == "-":
        return read_stdin()
    return _read(text[1:], redact(text[1:])) if text.startswith("@") else text


def read_stdin() -> str:
    """Read stdin to its end; raises `click.UsageError` where there is none, or what it gives is no text."""
    try:
        if sys.stdin is None:
            raise click.UsageError("stdin is closed")
        return sys.stdin.read()
    except UnicodeDecodeError as problem:
        raise click.UsageError("what stdin gives is no UTF-8") from problem


def _read(path: str, what: str) -> str:
    """Read a file that is called `what` where it cannot be read: its name may be the secret, put there by mistake."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as problem:
        raise click.UsageError(f"{what} cannot be read") from problem


def _json(param: Param, text: str) -> Any:
    value = decode(text)
    if isinstance(value, messages.Malformed):
        raise click.UsageError(f"--{param.option} is not JSON")
    return value


def _secret(param: Param, given: Mapping[str, Any]) -> str | None:
    name = param.option.replace("-", "_")
    if given.get(f"{name}_stdin"):
        return read_stdin().strip()
    path = given.get(f"{name}_file")
    return None if path is None else _read(path, f"what --{param.option}-file names").strip()


def _fields(model: Any) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _type_of(annotation: Any) -> str:
    """Name the JSON type of an annotation; of several the widest, apart from null.

    Its JSON Schema would say so too, but only once pydantic has built the model, and help would wait for that.
    """
    if get_origin(annotation) is Annotated:
        return _type_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        types = {_type_of(arm) for arm in get_args(annotation) if arm is not NoneType}
        return "number" if "number" in types else min(types)
    if get_origin(annotation) is Literal:
        return "string"
    return TYPES.get(getattr(get_origin(annotation) or annotation, "__name__", ""), "string")
