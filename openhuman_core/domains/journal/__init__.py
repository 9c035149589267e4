"""The idempotency keys of this home: what became of them, and how an unknown outcome is settled."""
