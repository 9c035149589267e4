"""The journal's methods; they touch only this program's own records."""

from __future__ import annotations

from openhuman_core.backend.route import Effect
from openhuman_core.domains.journal import models
from openhuman_core.registry.context import Context
from openhuman_core.registry.method import Namespace
from openhuman_core.registry.outcome import RpcOutcome

journal = Namespace("journal")


@journal.method(effect=Effect.READ, needs_credential=True, log="journal listed")
async def journal_list(ctx: Context, params: models.ListParams) -> RpcOutcome[list[models.Entry]]:
    """List the idempotency keys of this account, newest first."""
    return ctx.outcome(await ctx.records.entries(params.limit, params.offset, params.state))


@journal.method(effect=Effect.WRITE, needs_credential=True, log="journal entry settled")
async def journal_resolve(ctx: Context, params: models.ResolveParams) -> RpcOutcome[models.Entry]:
    """Settle an idempotency key whose outcome is unknown, once you have looked whether the call acted."""
    return ctx.outcome(await ctx.records.resolve(params.idempotency_key, done=params.outcome == "done"))
