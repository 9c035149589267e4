"""Params: the field types that methods are declared with, and the checks in the order that the contract gives.

Source: the wire contract, section 1, steps 2 to 5.
"""

from __future__ import annotations

import importlib.metadata  # noqa: F401 - pydantic does when it completes the first model: in the event loop
import json
import math
import os
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from openhuman_core.backend.store import is_sendable
from openhuman_core.errors import InvalidParams

# Looking for plugins of pydantic reads about every package that is installed, and none should see params.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# Unicode's White_Space property; str.strip() alone would also take the separators U+001C to U+001F.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

# What the hosted API sells at the time of writing; the first two pairs over Stripe, the last over Coinbase.
KNOWN_PLANS = ("BASIC_MONTHLY", "BASIC_YEARLY", "PRO_MONTHLY", "PRO_YEARLY", "BASIC", "PRO")

# Longer than any id there is, and short enough for every server's limit on a path.
MAX_ID_LENGTH = 1024

# Rules of step 5, a method's own checks: they are reported only when every type is right. The text follows the name.
OWN_CHECK = "own_check"
WHOLE_OWN_CHECK = "whole_own_check"
# A rule of step 4; here and there `whole` says that the text is the whole message.
WHOLE_MESSAGE = "whole_message"


class Params(BaseModel):
    """Named values of one call; `wire` names are camelCase."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, defer_build=True, hide_input_in_errors=True
    )

    def wire(self, *, covered: bool = False) -> dict[str, Any]:
        """Give the values that are not absent under their wire names; secrets are opened, or `covered`."""
        values = ((name, getattr(self, field.attribute)) for name, field in _declared(type(self)).items())
        return {
            name: ("[redacted]" if covered else value.get_secret_value()) if isinstance(value, SecretStr) else value
            for name, value in values
            if value is not None
        }

    def secrets(self) -> list[str]:
        """Give the values that no log and no error may hold."""
        values = (getattr(self, field.attribute) for field in _declared(type(self)).values())
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


class NoParams(Params):
    """No params of its own."""


class ReadOptions(Params):
    """What every method takes beside its own params."""

    timeout_ms: Annotated[int, Field(ge=1, le=600_000)] | None = Field(None, description="Give up after so many ms.")
    progress_token: str | int | None = Field(None, description="Name under which progress is told.")


class WriteOptions(ReadOptions):
    """What every method that writes takes beside its own params."""

    idempotency_key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")] | None = Field(
        None, description="Name of this call: the same key never acts twice."
    )


def own_check(text: str) -> PydanticCustomError:
    """Make the error of a method's own check; the wire's message is the param's name and this text."""
    return PydanticCustomError(OWN_CHECK, "{text}", {"text": text})


def trim(text: str) -> str:
    """Trim Unicode white space at both ends."""
    return text.strip(WHITE_SPACE)


def _filled(text: str) -> str:
    trimmed = trim(text)
    if not trimmed:
        raise own_check("is required")
    return trimmed


def _known_in_upper_case(plan: str) -> str:
    """Spell a known plan as the hosted API does; any other is its to judge, not ours."""
    return plan.upper() if plan.isascii() and plan.upper() in KNOWN_PLANS else plan


def _filled_secret(secret: SecretStr) -> SecretStr:
    return SecretStr(_filled(secret.get_secret_value()))


def _header_secret(secret: SecretStr) -> SecretStr:
    if not is_sendable(secret.get_secret_value()):
        raise own_check("holds characters that no header can carry")
    return secret


def _segment(text: str) -> str:
    if text in (".", "..") or len(text) > MAX_ID_LENGTH:
        raise own_check("is not a valid id")
    return text


def _positive(number: float) -> float:
    try:
        finite = math.isfinite(number)
    except OverflowError:  # an integer that no float can hold
        finite = False
    if not finite or number <= 0:
        raise own_check("must be a finite number greater than 0")
    return number


def _is_object(value: Any) -> Any:
    if not isinstance(value, dict):
        raise PydanticCustomError(WHOLE_MESSAGE, "payload must be an object")
    return value


def _sendable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise PydanticCustomError("finite_number", "finite numbers") from None
    return value


Text = Annotated[str, AfterValidator(_filled), WithJsonSchema({"type": "string", "minLength": 1})]
OptionalText = Annotated[str | None, AfterValidator(lambda text: (trim(text) or None) if text is not None else None)]
Secret = Annotated[SecretStr, AfterValidator(_filled_secret)]
HeaderSecret = Annotated[Secret, AfterValidator(_header_secret)]
Plan = Annotated[Text, AfterValidator(_known_in_upper_case)]
Segment = Annotated[Text, AfterValidator(_segment)]
Count = Annotated[int, Field(ge=0)]
# Of what this program itself counts: the largest that every JSON reader holds.
LocalCount = Annotated[int, Field(ge=0, le=2**53 - 1)]
PositiveNumber = Annotated[
    int | float, AfterValidator(_positive), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})
]
JsonObject = Annotated[dict[str, Any], AfterValidator(_sendable)]
Payload = Annotated[JsonObject, BeforeValidator(_is_object)]

P = TypeVar("P", bound=Params)


def check(model: type[P], options: type[ReadOptions], given: Any, name: str) -> tuple[P, ReadOptions]:
    """Check what a caller gave for the method `<namespace>.<function>` called `name`; raises `InvalidParams`.

    An explicit null for an optional param means that it is absent.
    """
    if given is None:
        given = {}
    if not isinstance(given, dict):
        got = {list: "array", str: "string", bool: "bool"}.get(type(given), "number")
        raise InvalidParams(f"invalid params: expected object or null, got {got}")
    own = _declared(model)
    for param, field in own.items():
        if field.is_required and param not in given:
            text = f"missing required param '{param}': {field.description}"
            raise InvalidParams(text, params=[{"path": param, "rule": "missing", "message": text}])
    if unknown := given.keys() - own.keys() - _declared(options).keys():
        text = f"unknown param '{(first := min(unknown))}' for {name}"
        raise InvalidParams(text, params=[{"path": first, "rule": "unknown", "message": text}])
    own_values = {k: v for k, v in given.items() if k in own and (v is not None or own[k].is_required)}
    common_values = {k: v for k, v in given.items() if k not in own and v is not None}
    problems: list[ErrorDetails] = []
    checked_own = _validate(model, own_values, problems)
    checked_common = _validate(options, common_values, problems) if common_values else _no_options(options)
    if checked_own is None or checked_common is None:
        raise _invalid(problems)
    return checked_own, checked_common


class _Declared(NamedTuple):
    """What every call asks of a field; pydantic works it out anew each time."""

    attribute: str
    is_required: bool
    description: str | None


@cache
def _declared(model: type[Params]) -> Mapping[str, _Declared]:
    """Give a model's fields by their wire names, in order."""
    fields = model.model_fields.items()
    return {field.alias or name: _Declared(name, field.is_required(), field.description) for name, field in fields}


@cache
def _no_options(options: type[ReadOptions]) -> ReadOptions:
    return options.model_validate({})


def _validate(model: type[P], values: dict[str, Any], problems: list[ErrorDetails]) -> P | None:
    try:
        return model.model_validate(values)
    except ValidationError as invalid:
        problems += invalid.errors(include_url=False, include_input=False)
        return None


def _invalid(problems: list[ErrorDetails]) -> InvalidParams:
    """Tell the first wrong type, or else the first own check that failed; `params` lists them all."""
    by_path: dict[str, list[ErrorDetails]] = {}
    for problem in sorted(problems, key=lambda problem: problem["type"] in (OWN_CHECK, WHOLE_OWN_CHECK)):
        by_path.setdefault(_path(problem), []).append(problem)
    params = [
        {"path": path, "rule": arms[0]["type"], "message": _message(path, arms)} for path, arms in by_path.items()
    ]
    return InvalidParams(params[0]["message"], params=params)


def _path(problem: ErrorDetails) -> str:
    """Name the param; inside of it only positions in an array count, not the arms of a union."""
    first, *rest = problem["loc"]
    return str(first) + "".join(f"[{part}]" for part in rest if isinstance(part, int))


def _message(path: str, arms: list[ErrorDetails]) -> str:
    """Word the problem of one param; there is one for each arm where its type is a union."""
    if arms[0]["type"] == OWN_CHECK:
        return f"{path} {arms[0]['msg']}"
    if arms[0]["type"] in (WHOLE_MESSAGE, WHOLE_OWN_CHECK):
        return arms[0]["msg"]
    reasons = (REASONS.get(arm["type"], "another value").format_map(arm.get("ctx", {})) for arm in arms)
    return f"invalid params: {path}: expected {' or '.join(dict.fromkeys(reasons))}"


# pydantic's slugs are stable, its prose is not.
REASONS = {
    "bool_type": "a boolean",
    "dict_type": "an object",
    "finite_number": "finite numbers",
    "float_type": "a number",
    "greater_than_equal": "an integer of at least {ge}",
    "int_type": "an integer",
    "less_than_equal": "an integer of at most {le}",
    "list_type": "an array",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "1 to 255 visible ASCII characters",
    "string_type": "a string",
}
