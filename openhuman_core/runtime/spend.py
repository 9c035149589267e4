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

    def reserve(self, amount: float) -> Decimal:
        """Take an amount from what is left, and give it as it was taken; raises `PolicyDenied` when it is more."""
        from decimal import Decimal  # noqa: PLC0415 - start-up pays for each import

        reserved = Decimal(str(amount))
        if self._left is not None:
            if reserved > self._left:
                raise PolicyDenied(
                    f"{reserved:f} USD is more than what is left of the spend limit, {self._left:f} USD",
                    hint="Ask the operator to raise --max-spend-usd.",
                )
            self._left -= reserved
        return reserved

    def give_back(self, reserved: Decimal) -> None:
        """Return an amount that was surely not spent."""
        if self._left is not None:
            self._left += reserved
