"""The spend limit of one process: reserved before a top-up is sent, given back only if it surely did nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openhuman_core.errors import PolicyDenied

if TYPE_CHECKING:
    from decimal import Decimal


class SpendLimit:
    """What may still be spent, in USD; None is no limit."""

    def __init__(self, limit: Decimal | None) -> None:
        self._left = limit
        self._held: dict[tuple[str, str | None], Decimal] = {}  # by account and key: what may have been spent already

    def reserve(self, amount: float, call: tuple[str, str | None], *, is_resent: bool) -> Decimal:
        """Take an amount from what is left, and give it as it was taken; raises `PolicyDenied` when it is more.

        `call` is the account and the idempotency key. What was taken for it is not taken twice where `is_resent` says
        that it is the same call, sent again; under a key that was settled by hand there may be another one.
        """
        from decimal import Decimal  # start-up pays for each import

        reserved = Decimal(str(amount))
        if is_resent and self._held.get(call) == reserved:
            reserved = Decimal(0)
        if self._left is not None:
            if reserved > self._left:
                raise PolicyDenied(
                    f"{reserved:f} USD is more than what is left of the spend limit, {self._left:f} USD",
                    hint="Ask the operator to raise --max-spend-usd.",
                )
            self._left -= reserved
        return reserved

    def hold(self, amount: float, call: tuple[str, str | None]) -> None:
        """Remember a call that may have spent its amount, if it can be made again under its key."""
        from decimal import Decimal

        if call[1] is not None:
            self._held[call] = Decimal(str(amount))

    def give_back(self, reserved: Decimal) -> None:
        """Return an amount that was surely not spent."""
        if self._left is not None:
            self._left += reserved
