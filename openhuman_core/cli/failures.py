"""How the command line ends: an exit code for each class of failures that a script treats alike, and one line."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from openhuman_core.cli.text import harmless, kebab
from openhuman_core.cli.tree import GROUPS
from openhuman_core.errors import CoreError
from openhuman_core.runtime.redaction import without_tokens

PROGRAM = "openhuman-core"

DONE, BUG, USAGE, STILL_PENDING, PARTLY_FAILED, UNCONFIRMED, INTERRUPTED = 0, 1, 2, 8, 9, 13, 130
REFUSED, SIGN_IN = 3, 4

EXIT_CODES: Mapping[str, int] = {
    "parse_error": USAGE,
    "invalid_request": USAGE,
    "method_not_found": USAGE,
    "invalid_params": USAGE,
    "configuration": USAGE,
    "journal_unavailable": USAGE,
    "internal_error": BUG,
    "rejected": REFUSED,
    "bad_backend_response": REFUSED,
    "unauthenticated": SIGN_IN,
    "session_expired": SIGN_IN,
    "api_key_rejected": SIGN_IN,
    "forbidden": 5,
    "policy_denied": 5,
    "not_found": 6,
    "conflict": 7,
    "idempotency_conflict": 7,
    "backend_unavailable": 10,
    "backend_timeout": 10,
    "rate_limited": 11,
    "outcome_unknown": 12,
    "confirmation_required": UNCONFIRMED,
    "output_not_written": BUG,
    "cancelled": INTERRUPTED,
    "shutting_down": INTERRUPTED,
}
# What the wire's hints name that is typed otherwise; any other method is typed as its group and its name.
_TYPED = {
    "openhuman.auth_store_session": "`openhuman-core auth login`",
    "Call rpc.discover": "Run `openhuman-core methods`",
    ", or call a method that rpc.discover does not show as denied": "",
    "--max-spend-usd": "OPENHUMAN_MAX_SPEND_USD",
    "timeoutMs": "--timeout-ms",
}
_METHOD = re.compile(rf"openhuman\.({'|'.join(group.replace('-', '_') for group in GROUPS)})_(\w+)")


class ConfirmationRequired(CoreError):
    """What was asked for needs a yes, and there was none; nothing was sent. Only the command line knows this kind."""

    kind, code = "confirmation_required", -32017
    hint = "Give --yes to go on without being asked."


class OutputNotWritten(CoreError):
    """Stdout could not take what was to be printed. Only the command line knows this kind."""

    kind, code = "output_not_written", -32018
    hint = "Make room for the output, or name another place for it."


def error_of(failure: CoreError) -> dict[str, Any]:
    """Give the wire's error for a caller who types commands."""
    data = failure.data()
    hint = {"hint": _as_typed(data["hint"])} if data.get("hint") else {}
    error: dict[str, Any] = without_tokens({"code": failure.code, "message": failure.message, **data, **hint})
    return error


def _as_typed(hint: str) -> str:
    """Word a hint of the wire for somebody at a command line."""
    for said, typed in _TYPED.items():
        hint = hint.replace(said, typed)
    return _METHOD.sub(lambda found: f"`openhuman-core {kebab(found[1])} {kebab(found[2])}`", hint)


def in_one_line(failure: CoreError, *, as_json: bool) -> str:
    """Word a failure for stderr, without anything that could move a terminal's cursor."""
    error = error_of(failure)
    if as_json:
        return json.dumps({"error": error})
    facts = {
        "retryable": "yes" if error["retryable"] else "no",
        "money moved": error.get("moneyMoved"),
        "effect": error.get("effect"),
        "retryAfterMs": error.get("retryAfterMs"),
        "hint": error.get("hint"),
    }
    shown = "; ".join(f"{name}: {value}" for name, value in facts.items() if value is not None)
    return harmless(f"{PROGRAM}: {error['kind']}: {error['message']} ({shown})")
