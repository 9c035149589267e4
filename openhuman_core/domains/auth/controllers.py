"""The auth methods; most touch only this program's own store."""

from __future__ import annotations

import json
import re
import time

from openhuman_core.backend import me
from openhuman_core.backend.credentials import Credential, Credentials
from openhuman_core.backend.route import Effect
from openhuman_core.backend.store import KINDS, Entry
from openhuman_core.backend.times import rfc3339
from openhuman_core.domains.auth import adapter, models
from openhuman_core.errors import (
    BackendTimeout,
    BackendUnavailable,
    BadBackendResponse,
    CoreError,
    RateLimited,
    SessionExpired,
    Unauthenticated,
)
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import Anything, RpcOutcome
from openhuman_core.registry.params import NoParams

auth = Namespace("auth")

PROVIDER = "app-session"
# The desktop's frontend signs the user out on these words, so a failed validation must not hold them.
_SIGNS_OUT = re.compile(r"session[ _]expired", re.IGNORECASE)
# Failures that say nothing about the token.
_NO_VERDICT = (BackendUnavailable, BackendTimeout, BadBackendResponse, RateLimited)


@auth.method(me.ME, effect=Effect.WRITE, needs_credential=False, log="session stored")
async def store_session(ctx: Context, params: models.StoreSessionParams) -> RpcOutcome[models.ProfileSummary]:
    """Verify a session token with the hosted API and store it."""
    base_url, deadline = ctx.backend.base_url, ctx.deadline()
    credential = Credential("session", params.token)
    try:
        credential.check_expiry()
        profile = await ctx.send(me.ME, {}, credential=credential)
    except CoreError as failure:
        raise _not_validated(failure) from failure
    verified_id = me.user_id_of(profile)
    user_id = verified_id or params.user_id or params.user_id_too
    if user_id is not None and not models.is_usable_id(user_id):
        raise Unauthenticated(_failed("the profile's user id is not usable"))
    user = params.user if params.user is not None else me.user_of(profile)
    now, is_verified = rfc3339(time.time()), verified_id is not None
    entry = Entry("session", params.token, base_url, now, user_id, user, is_verified)
    await ctx.credentials.save(entry, ctx.sending, deadline)
    return ctx.outcome(
        _summary(entry, ctx.credentials.settings.profile), f"session JWT verified via {me.ME} on {base_url}"
    )


@auth.method(effect=Effect.WRITE, log="credential stored")
async def set_credential(ctx: Context, params: models.SetCredentialParams) -> RpcOutcome[models.State]:
    """Store a session token or an API key without asking the hosted API."""
    kind = next(kind for kind in KINDS if kind == params.kind)
    base_url, now = ctx.credentials.settings.base_url(), rfc3339(time.time())
    entry = Entry(kind, params.token, base_url, now, params.user_id or params.user_id_too, params.user)
    await ctx.credentials.save(entry, ctx.sending, ctx.deadline())
    return ctx.outcome(_state(ctx.credentials))


@auth.method(effect=Effect.WRITE, log="session cleared")
async def clear_session(ctx: Context, params: NoParams) -> RpcOutcome[models.Removed]:
    """Forget the stored session."""
    removed = await ctx.credentials.forget(("session",), ctx.sending, ctx.deadline())
    return ctx.outcome({"removed": bool(removed)})


@auth.method(effect=Effect.WRITE, log="credentials cleared")
async def clear_credential(ctx: Context, params: models.ClearCredentialParams) -> RpcOutcome[models.RemovedKinds]:
    """Forget stored credentials."""
    kinds = tuple(kind for kind in KINDS if params.kind in ("all", kind))
    removed = await ctx.credentials.forget(kinds, ctx.sending, ctx.deadline())
    return ctx.outcome({"removed": [*removed]})


@auth.method(effect=Effect.READ, log="session state fetched")
async def get_state(ctx: Context, params: NoParams) -> RpcOutcome[models.State]:
    """Tell whether and as whom calls are made."""
    return ctx.outcome(_state(ctx.credentials))


@auth.method(effect=Effect.READ, secret=True, log="session token fetched")
async def get_session_token(ctx: Context, params: NoParams) -> RpcOutcome[models.SessionToken]:
    """Give the session token in force."""
    session = ctx.credentials.session()
    token = session.secret.get_secret_value() if session else None
    return ctx.outcome({"token": token})


@auth.method(me.ME, effect=Effect.READ, log="current user fetched")
async def get_me(ctx: Context, params: NoParams) -> RpcOutcome[Anything]:
    """Give the user that calls are made as."""
    return await ctx.relay(params)


@auth.method(
    adapter.CONSUME_LOGIN_TOKEN, effect=Effect.CREATE, needs_credential=False, secret=True, log="login token consumed"
)
async def consume_login_token(ctx: Context, params: models.LoginTokenParams) -> RpcOutcome[models.JwtToken]:
    """Trade the single-use token of a login link for a session token."""
    return await ctx.relay(params)


def _not_validated(failure: CoreError) -> CoreError:
    """Say why a token was not stored, without what would sign the user out."""
    facts = {name: value for name, value in failure.facts.items() if not _SIGNS_OUT.search(json.dumps(value))}
    if isinstance(failure, _NO_VERDICT):
        return type(failure)(_failed(failure.message), **facts)
    otherwise = "the token is past its time" if isinstance(failure, SessionExpired) else failure.message
    return Unauthenticated(_failed(failure.reason or otherwise), **facts)


def _failed(reason: str) -> str:
    return f"Session validation failed ({me.ME}): {_SIGNS_OUT.sub('session refused', reason)}"


def _summary(entry: Entry, profile: str) -> models.ProfileSummary:
    return {
        "id": f"{PROVIDER}:{profile}",
        "provider": PROVIDER,
        "profileName": profile,
        "kind": "token",
        "accountId": entry.user_id,
        "workspaceId": None,
        "metadataKeys": sorted(
            name
            for name, value in {"baseUrl": entry.base_url, "user": entry.user, "userId": entry.user_id}.items()
            if value is not None
        ),
        "updatedAt": entry.updated_at,
        "hasToken": True,
        "hasTokenSet": False,
    }


def _state(credentials: Credentials) -> models.State:
    credential = credentials.current()
    entry = credentials.entry(credential.kind) if credential and credential.stored else None
    expiry = credential.expires_at() if credential else None
    return {
        "isAuthenticated": credential is not None and not credential.expired(),
        "userId": (entry.user_id if entry else None) or (credential.subject() if credential else None),
        "user": entry.user if entry else None,
        "profileId": f"{PROVIDER}:{credentials.settings.profile}" if entry and entry.kind == "session" else None,
        "credential": credential.kind if credential else None,
        "expiresAt": None if expiry is None else rfc3339(expiry),
    }
