"""Every failure a caller can see, grouped by who must act.

    CoreError
    ├── the calling program   ParseError InvalidRequest MethodNotFound InvalidParams IdempotencyConflict
    ├── whoever signs in      Unauthenticated SessionExpired ApiKeyRejected
    ├── whoever asked         Forbidden NotFound Conflict Rejected
    ├── nobody yet: wait      RateLimited BackendUnavailable BackendTimeout Cancelled ShuttingDown
    ├── find out first        OutcomeUnknown
    ├── the operator          PolicyDenied JournalUnavailable Configuration
    └── us, or the hosted API InternalError BadBackendResponse

Codes from -32700 to -32600 are JSON-RPC 2.0's, -32800 is the Language Server Protocol's, the rest are this program's.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CoreError(Exception):
    """A failure with a kind, a JSON-RPC code, a message for people and facts for programs.

    Keyword arguments become members of the wire's `error.data`, under the names they are given here; None is left out.
    """

    kind: ClassVar[str]
    code: ClassVar[int]
    retryable: ClassVar[bool] = False
    hint: ClassVar[str | None] = None

    # The hosted API's own reason, where it gave one; a method may need it apart from the message.
    reason: str | None = None

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = {name: value for name, value in facts.items() if value is not None}

    def data(self) -> dict[str, Any]:
        """Give the wire's `error.data`: kind and retryable first, then the facts."""
        hint = {} if self.hint is None else {"hint": self.hint}
        return {"kind": self.kind, "retryable": self.retryable, **hint, **self.facts}


class ParseError(CoreError):
    """The frame is not JSON that could be taken: no JSON, not UTF-8, NaN, nested too deep."""

    kind, code = "parse_error", -32700
    hint = "Send one JSON-RPC 2.0 request as UTF-8 JSON."


class InvalidRequest(CoreError):
    """The frame is JSON but no request, or over a limit."""

    kind, code = "invalid_request", -32600


class MethodNotFound(CoreError):
    """No method has that name."""

    kind, code = "method_not_found", -32601
    hint = "Call rpc.discover for the methods there are."


class InvalidParams(CoreError):
    """The params are missing, unknown, of a wrong type or out of range; nothing was sent."""

    kind, code = "invalid_params", -32602


class IdempotencyConflict(CoreError):
    """The idempotency key was used before, for something else."""

    kind, code = "idempotency_conflict", -32012
    hint = "Use a new key for a new call, or the old params with the old key."


class InternalError(CoreError):
    """A bug of this program."""

    kind, code = "internal_error", -32603
    hint = "Look up data.correlationId in the log and report it."

    def __init__(self, correlation_id: str) -> None:
        super().__init__("internal error", correlationId=correlation_id)


class _CutShort(CoreError):
    """The call was stopped on its way; `effect` says what became of one that writes."""

    def data(self) -> dict[str, Any]:
        """Add that a call which was surely not sent may be made again."""
        return {**super().data(), "retryable": self.facts.get("effect") in (None, "not_sent")}


class Cancelled(_CutShort):
    """The caller cancelled the call."""

    kind, code = "cancelled", -32800
    hint = "Call again if it is wanted after all."


class ShuttingDown(_CutShort):
    """The call came after the drain began, or did not end before its deadline."""

    kind, code = "shutting_down", -32801
    hint = "Call again once the program runs again."


class Unauthenticated(CoreError):
    """There is no credential, or a session failed its validation."""

    kind, code = "unauthenticated", -32001
    hint = "Sign in with openhuman.auth_store_session, or set OPENHUMAN_API_KEY."


class SessionExpired(CoreError):
    """The hosted API refused the session, or its time is known to be over."""

    kind, code = "session_expired", -32002
    hint = "Sign in again and store the new session."


class ApiKeyRejected(CoreError):
    """The hosted API refused the API key."""

    kind, code = "api_key_rejected", -32003
    hint = "Make a new API key and replace the refused one where it is configured."


class Forbidden(CoreError):
    """The hosted API says that this account may not do that (403)."""

    kind, code = "forbidden", -32004
    hint = "Ask someone with the right role, or use another account."


class NotFound(CoreError):
    """The hosted API does not know it (404)."""

    kind, code = "not_found", -32005
    hint = "List what there is and check the id."


class Conflict(CoreError):
    """The hosted API says that it does not fit the present state (409)."""

    kind, code = "conflict", -32006
    hint = "Read the present state, then decide again."


class Rejected(CoreError):
    """The hosted API refused the call for a reason of its own."""

    kind, code = "rejected", -32007
    hint = "Change the request as the reason says."


class RateLimited(CoreError):
    """The hosted API asks for fewer calls (429)."""

    kind, code, retryable = "rate_limited", -32008, True
    hint = "Wait, for retryAfterMs milliseconds where that is given, and call again."


class BackendUnavailable(CoreError):
    """The hosted API could not be reached, or failed (5xx)."""

    kind, code, retryable = "backend_unavailable", -32009, True
    hint = "Check the network and the base URL, then call again."


class BackendTimeout(CoreError):
    """The hosted API did not answer in time."""

    kind, code, retryable = "backend_timeout", -32010, True
    hint = "Call again, with a larger timeoutMs if it happens often."


class BadBackendResponse(CoreError):
    """The hosted API's answer could not be read."""

    kind, code = "bad_backend_response", -32011
    hint = "Check that the base URL is the hosted API's; report it if it is."


class OutcomeUnknown(CoreError):
    """A call that creates or pays may have acted, and its answer is not known."""

    kind, code = "outcome_unknown", -32013
    hint = "Look at what the account holds before making the call again."


class PolicyDenied(CoreError):
    """What this program was told not to do."""

    kind, code = "policy_denied", -32014


class JournalUnavailable(CoreError):
    """The journal cannot be read or written, and the call has an idempotency key; nothing was sent."""

    kind, code = "journal_unavailable", -32015
    hint = "Make the home's core directory usable, then call again with the same key."


class Configuration(CoreError):
    """A setting, a credential or a file of this program cannot be used."""

    kind, code = "configuration", -32016
    hint = "Mend the named setting or file and call again."
