"""The daemon answers at all."""

from __future__ import annotations

from tests.support.daemon import Daemon
from tests.support.recorder import Recorder, ok


def test_a_call_reaches_the_hosted_api_and_its_payload_comes_back(daemon: Daemon, backend: Recorder) -> None:
    """The straight line of one request."""
    backend.script = [ok({"promotionBalanceUsd": 5.0, "teamTopupUsd": 12.5})]
    assert daemon.result("openhuman.billing_get_balance") == {
        "result": {"promotionBalanceUsd": 5.0, "teamTopupUsd": 12.5},
        "logs": ["credit balance fetched"],
    }
    assert [(seen.verb, seen.target, seen.body) for seen in backend.seen] == [("GET", "/payments/credits/balance", b"")]
    assert daemon.end() == 0
