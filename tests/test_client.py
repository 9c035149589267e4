"""The Python client of a daemon that it starts."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from openhuman_core import __version__
from openhuman_core.client import CallFailed, Client, connect
from tests.support.daemon import PATIENCE_SECONDS, environment
from tests.support.recorder import SILENCE, Recorder, answer, ok

pytestmark = pytest.mark.anyio

BALANCE = "openhuman.billing_get_balance"


async def test_calls_reach_the_daemon_and_come_back(home: Path) -> None:
    """Built-ins are bare; what a namespace answers has log lines."""
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect("--sandbox", "--log-level", "error", env=environment(home)) as client:
            assert await client.call("core.version") == {"version": __version__}
            me = await client.call("openhuman.auth_get_me")
            assert (me["result"]["username"], me["logs"]) == ("sandbox-admin", ["current user fetched"])
            team = await client.call("openhuman.team_create_team", name="Zw\u00f6lf")
            assert team["result"]["name"] == "Zw\u00f6lf"


async def test_any_number_of_calls_may_wait_at_once(home: Path, backend: Recorder) -> None:
    """Each gets its own answer, in whichever order they come."""
    backend.default = ok({"id": 1})
    environ = environment(home, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    found: dict[int, Any] = {}

    async def ask(client: Client, number: int) -> None:
        if number % 2:
            found[number] = await client.call("core.ping", number=number)
        else:
            found[number] = (await client.call("openhuman.team_get_team", teamId=str(number)))["result"]

    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect("--log-level", "error", env=environ) as client, anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(ask, client, number)
    assert found == {number: {"ok": True} if number % 2 else {"id": 1} for number in range(50)}
    assert sorted(seen.target for seen in backend.seen) == sorted(f"/teams/{number}" for number in range(0, 50, 2))


async def test_a_slow_call_holds_up_no_other(home: Path, backend: Recorder) -> None:
    """And one that nobody waits for any more does no harm."""
    backend.script = [SILENCE]
    environ = environment(home, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect("--drain-seconds", "0", "--log-level", "error", env=environ) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call, BALANCE)
                await anyio.to_thread.run_sync(backend.wait_for, 1)
                assert await client.call("core.ping") == {"ok": True}
                tasks.cancel_scope.cancel()
            assert await client.call("core.ping") == {"ok": True}
            assert await client.call("core.shutdown") == {"ok": True}


async def test_a_failed_call_carries_code_message_and_data(home: Path) -> None:
    """It leaves `connect` as itself, and the daemon ends all the same."""
    with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(CallFailed) as caught:
        async with connect("--log-level", "error", env=environment(home)) as client:
            await client.call(BALANCE)
    message = "no backend session token; run auth_store_session first"
    assert (caught.value.code, caught.value.message, str(caught.value)) == (-32001, message, message)
    assert caught.value.data == {
        "kind": "unauthenticated",
        "retryable": False,
        "hint": "Sign in with openhuman.auth_store_session, or set OPENHUMAN_API_KEY.",
    }


async def test_a_request_that_is_too_long_fails_and_no_other_does(home: Path, backend: Recorder) -> None:
    """The daemon cannot read its id, so it answers under none."""
    backend.script = [SILENCE]
    environ = environment(home, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    flags = ["--max-message-bytes", "1000", "--drain-seconds", "0", "--log-level", "error"]
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect(*flags, env=environ) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call, BALANCE)
                await anyio.to_thread.run_sync(backend.wait_for, 1)
                with pytest.raises(CallFailed) as caught:
                    await client.call("core.ping", text="x" * 1000)
                assert await client.call("core.ping", text="x" * 100) == {"ok": True}
                tasks.cancel_scope.cancel()
            assert await client.call("core.shutdown") == {"ok": True}
    assert (caught.value.code, caught.value.message, caught.value.data) == (
        -32600,
        "the frame is longer than 1000 bytes",
        {"kind": "invalid_request", "retryable": False},
    )


async def test_an_answer_that_python_cannot_hold_is_its_own_callers(home: Path, backend: Recorder) -> None:
    """Whoever happens to read it waits for another call."""
    backend.script = [SILENCE, answer(raw=b'{"success":true,"data":%b}' % (b"7" * 5_000))]
    environ = environment(home, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    flags = ["--drain-seconds", "0", "--log-level", "error"]
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect(*flags, env=environ) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.call, BALANCE)  # it reads for all
                await anyio.to_thread.run_sync(backend.wait_for, 1)
                with pytest.raises(ValueError, match="answered with what Python cannot hold"):
                    await client.call(BALANCE)
                assert await client.call("core.ping") == {"ok": True}
                tasks.cancel_scope.cancel()
            await client.call("core.shutdown")


async def test_a_request_that_is_too_long_and_no_longer_wanted_fails_no_other(home: Path) -> None:
    """Its answer under no id is nobody's; a request that was never sent has none."""
    # A daemon that answers two requests once it has both: the first was too long.
    answering = """if True:
        import sys
        sys.stdin.buffer.readline(), sys.stdin.buffer.readline()
        print('{"id":null,"error":{"code":-32600,"message":"too long","data":{}}}')
        print('{"id":2,"result":"of the second"}')
        """
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect(env=environment(home), command=(sys.executable, "-c", answering)) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(client.call, "core.ping", text="x" * 1000))
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.call("core.ping", text="x" * 2000)
            assert await client.call("core.ping") == "of the second"


async def test_a_daemon_that_dies_ends_the_calls_that_wait(home: Path) -> None:
    """All of them, and those that are made later."""
    ended: list[type[BaseException]] = []
    # A daemon that reads two requests and dies without an answer.
    dying = (sys.executable, "-c", "import sys; sys.stdin.buffer.readline(), sys.stdin.buffer.readline()")

    async def ask(client: Client) -> None:
        try:
            await client.call("core.ping")
        except anyio.EndOfStream as problem:
            ended.append(type(problem))

    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect(env=environment(home), command=dying) as client:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, client)
                tasks.start_soon(ask, client)
            await ask(client)
    assert ended == [anyio.EndOfStream] * 3


async def test_an_answer_that_is_cut_short_ends_the_calls_that_wait(home: Path) -> None:
    """It is no answer."""
    dying = (sys.executable, "-c", "import sys; sys.stdin.buffer.readline(); print('{\"id\":1,', end='')")
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect(env=environment(home), command=dying) as client:
            with pytest.raises(anyio.EndOfStream):
                await client.call("core.ping")


async def test_an_answer_that_nobody_waits_for_does_not_hold_the_end_up(home: Path, backend: Recorder) -> None:
    """Though it is larger than what a pipe holds: what is left is read to its end."""
    backend.default = ok("x" * 3_000_000)
    environ = environment(home, BACKEND_URL=backend.url, OPENHUMAN_TOKEN="test-token")
    with anyio.fail_after(PATIENCE_SECONDS):
        async with connect("--log-level", "error", env=environ) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, BALANCE)
            await anyio.to_thread.run_sync(backend.wait_for, 1)
            tasks.cancel_scope.cancel()
