"""Money is never moved twice: programs of one home come and go, the hosted API fails, and its ledger counts."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import defaultdict
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.hosted import FAULTS, SHORT_MS, UNSURE_STATUSES, Hold, Hosted, Point, Program, Told, bounded

TOP_UP = "openhuman.billing_top_up"
ACCOUNTS = ("sandbox-admin", "sandbox-billing")
KEYS = ("k1", "k2", "k3", "k4", "k5")
AMOUNTS = {key: number for number, key in enumerate(KEYS, 1)}  # by these the ledger tells the keys apart
OTHER_AMOUNT = 99
MOST_PROGRAMS = 4

Place = tuple[str, str]  # an account and a key
T = TypeVar("T")


class Money(RuleBasedStateMachine):
    """Whatever happens, a key is charged at most once and what its caller was told stays true."""

    forgetful: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.hosted = Hosted(forgetful=self.forgetful)
        self.programs: list[Program] = []
        self.gone: list[Program] = []
        self.left_behind: list[asyncio.Task[Told]] = []
        self.told: dict[Place, bytes] = {}
        self.settled: set[Place] = set()
        self.used: set[Place] = set()

    def run(self, work: Awaitable[T]) -> T:
        """Go on with the event loop until `work` is done."""
        return self.loop.run(asyncio.wait_for(work, 20))

    def program(self, which: int) -> Program:
        """Choose one that runs."""
        return self.programs[which % len(self.programs)]

    def charges(self) -> dict[Place, list[str]]:
        """Ask the hosted API what was charged for which key."""
        found = defaultdict(list)
        keys = {amount: key for key, amount in AMOUNTS.items()}
        for charge in self.run(self.hosted.control("GET", "charges"))["charges"]:
            found[charge["user"], keys[charge["amountUsd"]]].append(charge["id"])
        return found

    def judge(self, place: Place, told: Told, charged_before: list[str]) -> None:
        """Compare what a caller was told with the ledger, and with what callers were told before."""
        charged = self.charges()[place]
        self.used.add(place)
        assert len(charged) <= 1
        if told.kind == "ok" and place in self.settled:
            assert (told.payload, told.replayed) == (b"null", True)
        elif told.kind == "ok":
            assert json.loads(told.payload)["gatewayTransactionId"] == charged[0]
            assert told.replayed or place not in self.told
            assert self.told.setdefault(place, told.payload) == told.payload
        elif told.kind == "cancelled":  # this call was; an earlier one may have acted
            assert told.moved != "no" or charged == charged_before
            assert told.moved != "yes" or charged
        else:
            assert place not in self.told
            assert place not in self.settled
            assert told.moved == ("unknown" if told.kind == "outcome_unknown" else "no")
            assert told.kind == "outcome_unknown" or not charged

    def params(self, key: str, **more: Any) -> dict[str, Any]:
        """Make the params of the one call that is made under a key."""
        return {"amountUsd": AMOUNTS[key], "idempotencyKey": key, **more}

    @initialize(retrying=st.tuples(st.booleans(), st.booleans()))
    def begin(self, retrying: tuple[bool, bool]) -> None:
        """Start with one program of each account."""
        for account, retries in zip(ACCOUNTS, retrying, strict=True):
            self.start(account, no_retries=not retries)

    @precondition(lambda self: len(self.programs) < MOST_PROGRAMS)
    @rule(account=st.sampled_from(ACCOUNTS), no_retries=st.booleans())
    def start(self, account: str, *, no_retries: bool) -> None:
        """Start one more program."""
        home, honoured = Path(self.directory.name), not self.forgetful
        self.programs.append(Program(home, self.hosted, account, no_retries=no_retries, honoured=honoured))

    @precondition(lambda self: len(self.programs) > 1)
    @rule(which=st.integers(0, MOST_PROGRAMS), kill=st.booleans())
    def end(self, which: int, *, kill: bool) -> None:
        """End a program, as it does of itself or not."""
        program = self.programs.pop(which % len(self.programs))
        (program.kill if kill else program.stop)()

    def order(self, faults: list[dict[str, Any]]) -> None:
        """Make the next requests go wrong."""
        for fault in faults:
            assert "queued" in self.run(self.hosted.control("POST", "faults", {"route": "*", **fault}))

    @rule(
        which=st.integers(0, MOST_PROGRAMS),
        key=st.sampled_from(KEYS),
        short=st.booleans(),
        faults=st.lists(FAULTS, max_size=2),
    )
    def call(self, which: int, key: str, *, short: bool, faults: list[dict[str, Any]]) -> None:
        """Make a call and wait for its end."""
        program = self.program(which)
        place, before = (program.token, key), self.charges()
        self.order(faults)
        told = self.run(program.call(TOP_UP, self.params(key, timeoutMs=SHORT_MS if short else 10_000)))
        self.judge(place, told, before[place])

    @rule(which=st.integers(0, MOST_PROGRAMS), status=UNSURE_STATUSES)
    def fail_to_hear(self, which: int, status: int) -> None:
        """Use a new key for a call that acts, and is told as one that failed."""
        unused = [key for key in KEYS if (self.program(which).token, key) not in self.used]
        if unused:
            self.call(which, unused[0], short=False, faults=[{"status": status, "act": True}])

    @rule(which=st.integers(0, MOST_PROGRAMS), key=st.sampled_from(KEYS))
    def call_nobody(self, which: int, key: str) -> None:
        """Make a call while no connection is to be had."""
        program = self.program(which)
        place, before = (program.token, key), self.charges()
        self.hosted.refusing = not program.retries
        told = self.run(program.call(TOP_UP, self.params(key)))
        self.hosted.refusing = False
        self.judge(place, told, before[place])

    @rule(
        account=st.sampled_from(ACCOUNTS),
        key=st.sampled_from(KEYS),
        twice=st.booleans(),
        faults=st.lists(FAULTS, max_size=2),
    )
    def call_at_once(self, account: str, key: str, *, twice: bool, faults: list[dict[str, Any]]) -> None:
        """Make the call in every program of an account at the same time, and maybe twice in each."""
        callers = [program for program in self.programs if program.token == account] * (1 + twice)
        before = self.charges()[account, key]
        self.order(faults)

        async def call_all() -> list[Told]:
            return await asyncio.gather(*(program.call(TOP_UP, self.params(key)) for program in callers))

        answers = self.run(call_all())
        assert sum(told.kind == "ok" and not told.replayed for told in answers) <= 1
        acted = {told.kind for told in answers} & {"ok", "outcome_unknown"}
        for told in sorted(answers, key=lambda told: (told.kind == "ok", told.replayed)):
            if told.kind in acted or not acted:  # one that was refused may have gone before one that acted
                self.judge((account, key), told, before)

    @rule(
        which=st.integers(0, MOST_PROGRAMS),
        key=st.sampled_from(KEYS),
        point=st.sampled_from(["before", "after", "answered"]),
    )
    def cancel(self, which: int, key: str, point: Point) -> None:
        """Cancel a call where the hosted API has come to a point, if it is asked at all."""
        program, hold = self.program(which), Hold(point)
        place, before = (program.token, key), self.charges()
        self.hosted.hold = hold
        told = self.run(program.call(TOP_UP, self.params(key), hold.reached.wait))
        self.hosted.hold = None
        self.judge(place, told, before[place])

    @rule(
        which=st.integers(0, MOST_PROGRAMS),
        key=st.sampled_from(KEYS),
        point=st.sampled_from(["before", "after"]),
        killed=st.booleans(),
    )
    def leave_behind(self, which: int, key: str, point: Point, *, killed: bool) -> None:
        """Ask in another program while a call is under way, which then goes on, or is never heard of again."""
        program, hold = self.program(which), Hold(point)
        place, before = (program.token, key), self.charges()
        others = [other for other in self.programs if other is not program and other.token == program.token]

        async def begin() -> tuple[asyncio.Task[Told], list[Told]]:
            self.hosted.hold = hold
            task = asyncio.create_task(program.call(TOP_UP, self.params(key)))
            stopped = asyncio.create_task(hold.reached.wait())
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            self.hosted.hold = None
            if task.done():
                return task, []
            waiting = [other.call(TOP_UP, self.params(key, timeoutMs=SHORT_MS)) for other in others[:1]]
            return task, await asyncio.gather(*waiting)

        task, waited = self.run(begin())
        if not task.done():
            assert [told.kind for told in waited] == ["outcome_unknown"] * len(waited)
            if killed:
                self.programs.remove(program)
                self.gone.append(program)
                self.left_behind.append(task)
                program.kill()
                self.start(program.token, no_retries=False)
                self.judge(place, self.run(self.programs[-1].call(TOP_UP, self.params(key))), before[place])
                return
            hold.go.set()
        self.judge(place, self.run(task), before[place])

    @precondition(lambda self: self.told or self.settled)
    @rule(which=st.integers(0, MOST_PROGRAMS), data=st.data())
    def use_for_another_call(self, which: int, data: st.DataObject) -> None:
        """Use a key that acted for something else, which it is no good for."""
        account, key = data.draw(st.sampled_from(sorted({*self.told, *self.settled})))
        callers = [program for program in self.programs if program.token == account]
        if callers:
            asked = self.hosted.requests
            params = {**self.params(key), "amountUsd": OTHER_AMOUNT}
            told = self.run(callers[which % len(callers)].call(TOP_UP, params))
            assert (told, self.hosted.requests) == (Told("idempotency_conflict", moved="no"), asked)

    @rule(which=st.integers(0, MOST_PROGRAMS), key=st.sampled_from(KEYS))
    def settle(self, which: int, key: str) -> None:
        """Look whether the call acted, and say so."""
        program = self.program(which)
        place = (program.token, key)
        if self.states(program).get(key) != "unknown":
            return
        acted = bool(self.charges()[place])
        params = {"idempotencyKey": key, "outcome": "done" if acted else "not_done"}
        entry = self.run(program.result("openhuman.journal_resolve", params))
        assert entry["state"] == ("done" if acted else "free")
        if acted:
            self.settled.add(place)

    def states(self, program: Program) -> dict[str, str]:
        """Read what the journal says of each key of a program's account."""
        entries = self.run(program.result("openhuman.journal_list", {}))
        return {entry["idempotencyKey"]: entry["state"] for entry in entries}

    @invariant()
    def the_journal_agrees_with_the_ledger(self) -> None:
        """Find no key charged twice, none free that was charged, and none done that was not."""
        charges = self.charges()
        for program in {program.token: program for program in self.programs}.values():
            states = self.states(program)
            for key in KEYS:
                charged = charges[program.token, key]
                assert len(charged) <= 1
                assert states.get(key, "free") in {"done" if charged else "free", "unknown", "pending"}

    def teardown(self) -> None:
        """Bring everything to its end after a restart: each key that was used is charged once."""
        try:
            self.finish()
        finally:
            for task in self.left_behind:
                task.cancel()
            if self.left_behind:
                self.run(asyncio.wait(self.left_behind))
            for program in [*self.programs, *self.gone]:
                program.stop()
            self.loop.close()
            self.directory.cleanup()

    def finish(self) -> None:
        """Settle what is unknown, make each call again, and look."""
        for program in self.programs:
            program.kill()
        for account in ACCOUNTS:
            self.start(account, no_retries=True)
            program = self.programs[-1]
            for key in sorted(key for user, key in self.used if user == account):
                told = Told("")
                while told.kind != "ok":  # as long as faults are left
                    self.settle(len(self.programs) - 1, key)
                    before = self.charges()[account, key]
                    told = self.run(program.call(TOP_UP, self.params(key, timeoutMs=10_000)))
                    self.judge((account, key), told, before)
        counts = {place: len(ids) for place, ids in self.charges().items()}
        assert [counts.get(place) for place in self.used] == [1] * len(self.used)


class HonouredMoney(Money):
    """The same where the hosted API takes a key once and this program may rely on it: unknown calls are sent again."""

    forgetful = False


TestMoney = Money.TestCase
TestMoney.settings = bounded(30)
TestHonouredMoney = HonouredMoney.TestCase
TestHonouredMoney.settings = bounded(15)
