"""The store of credentials: sealed, private, shared by many processes, and never overwritten unread."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from filelock import FileLock, Timeout

from openhuman_core.backend.keychain import HINT
from openhuman_core.errors import BackendTimeout, Cancelled, Configuration, CoreError, SessionExpired
from tests.conftest import StartDaemon
from tests.support.daemon import PATIENCE_SECONDS, Daemon, environment, request, run
from tests.support.house import until
from tests.support.keychain import keychain
from tests.support.recorder import SILENCE, Recorder, answer, ok
from tests.support.till import Step, Till, refusal

FILE = {"OPENHUMAN_CREDENTIAL_STORE": "file"}
TOKEN = "stored-token-of-some-length"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
LOGIN = ("auth", "login", "--kind", "api-key", "--token-stdin")


@pytest.fixture
def signed_in(start: StartDaemon, backend: Recorder) -> Daemon:
    """Give a daemon with a stored session, and forget that it was asked."""
    daemon = start(BACKEND_URL=backend.url, **FILE)
    auth(daemon, "set_credential", token=TOKEN, userId="u1")
    return daemon


def auth(daemon: Daemon, function: str, **params: Any) -> Any:
    """Make a call that must succeed and give its payload."""
    return daemon.result(f"openhuman.auth_{function}", params)["result"]


def login(home: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Store an API key by the command line."""
    return run(home, *LOGIN, "--json", stdin=TOKEN.encode(), **variables)


def status(home: Path, **variables: str) -> Any:
    """Give what the command line tells of who is signed in."""
    return json.loads(run(home, "auth", "status", stdin=b"", **variables).stdout)


def files(home: Path) -> dict[Path, int]:
    """Give the files of the program, and their inodes."""
    return {path: path.stat().st_ino for path in (home / "core").rglob("*") if path.is_file()}


def store_of(home: Path) -> Path:
    """Give the file that keeps the credentials."""
    return home / "core" / "credentials.json"


def test_the_store_is_private_sealed_and_replaced_whole(signed_in: Daemon) -> None:
    """Nobody else may read it, it shows nothing to who has it alone, and no write leaves anything beside it."""
    home = signed_in.home
    before = files(home)
    auth(signed_in, "set_credential", token="another-token", kind="api-key", user={"email": "ada@example.com"})
    after = files(home)
    assert sorted(path.name for path in after) == ["credentials.json", "credentials.lock", "vault.key"]
    assert before.keys() == after.keys()
    assert before[store_of(home)] != after[store_of(home)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in after} == {0o600}
    directories = [home / "core", *(path for path in (home / "core").rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in directories} == {0o700}
    content = b"".join(path.read_bytes() for path in after)
    assert [secret for secret in (TOKEN, "another-token", "ada@") if secret.encode() in content] == []


def test_one_daemon_sees_what_another_stored(start: StartDaemon, backend: Recorder) -> None:
    """Two daemons of one home share its credentials at once."""
    first, second = (start(BACKEND_URL=backend.url, **FILE) for _ in range(2))
    assert auth(second, "get_session_token") == {"token": None}
    auth(first, "set_credential", token=TOKEN)
    assert auth(second, "get_session_token") == {"token": TOKEN}
    auth(second, "clear_session")
    assert auth(first, "get_session_token") == {"token": None}


def test_what_many_processes_store_at_once_is_kept(start: StartDaemon, backend: Recorder) -> None:
    """Each changes its own kind again and again; neither undoes what the other does."""
    daemons = [start(BACKEND_URL=backend.url, **FILE) for _ in range(4)]
    kinds = ("session", "api-key")
    for round_ in range(25):
        for number, daemon in enumerate(daemons):
            params = {"token": f"{kinds[number % 2]}-{round_}", "kind": kinds[number % 2]}
            daemon.send(request(f"{round_}-{number}", "openhuman.auth_set_credential", params))
        answers = [daemon.answer() for daemon in daemons]
        assert [answer for answer in answers if "error" in answer] == []
        assert auth(daemons[0], "get_session_token") == {"token": f"session-{round_}"}
        assert auth(daemons[1], "get_state")["credential"] == "api-key"


def test_a_process_that_was_killed_holds_nothing_up(signed_in: Daemon, start: StartDaemon, backend: Recorder) -> None:
    """Its lock died with it."""
    home = signed_in.home
    script = "import filelock, sys; filelock.FileLock(sys.argv[1]).acquire(); print('held', flush=True); input()"
    words = [sys.executable, "-c", script, str(home / "core" / "credentials.lock")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    other = start(BACKEND_URL=backend.url, **FILE)
    auth(other, "set_credential", token="new-token")
    assert auth(signed_in, "get_session_token") == {"token": "new-token"}


def _entry(**changes: Any) -> Callable[[Path], bytes]:
    """Seal a store again with changes to its entry."""

    def damaged(home: Path) -> bytes:
        content = json.loads(store_of(home).read_bytes())
        fernet = Fernet((home / "core" / "vault.key").read_bytes())
        entries = json.loads(fernet.decrypt(content["sealed"]))
        return json.dumps(
            {**content, "sealed": fernet.encrypt(json.dumps([{**entries[0], **changes}]).encode()).decode()}
        ).encode()

    return damaged


def _with(**changes: Any) -> Callable[[Path], bytes]:
    """Change the store's own members."""
    return lambda home: json.dumps({**json.loads(store_of(home).read_bytes()), **changes}).encode()


DAMAGES: dict[str, Callable[[Path], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda home: store_of(home).read_bytes()[:-5],
    "array": lambda _: b"[]",
    "null": lambda _: b"null",
    "not-utf-8": lambda home: store_of(home).read_bytes().replace(b"sealed", b"\xff"),
    "too-deep": lambda _: b"[" * 100_000,
    "long-number": lambda _: b"9" * 5000,
    "newer": _with(version=4, sealed={"another": "form"}),
    "older": _with(version=1),
    "no-version": _with(version=None),
    "no-base-url": _entry(baseUrl=None),
    "no-user": _entry(user="ada"),
    "no-user-id": _entry(userId=5),
    "sealed-with-another-key": _with(sealed=Fernet(Fernet.generate_key()).encrypt(b"[]").decode()),
    "sealed-is-no-text": _with(sealed=5),
    "key-elsewhere": _with(keyIn="pocket"),
    "token-is-a-number": _entry(secret=5),
    "token-is-null": _entry(secret=None),
    "token-is-empty": _entry(secret=""),
    "token-with-a-line-end": _entry(secret="a\r\nx-evil: mark"),
    "token-not-ascii": _entry(secret="tök-mark"),
    "kind-unknown": _entry(kind="passport"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_store_is_told_and_left_alone(signed_in: Daemon, backend: Recorder, damage: Any) -> None:
    """A store that cannot be understood may be a newer version's: it is not for us to overwrite."""
    store = store_of(signed_in.home)
    damaged = damage(signed_in.home)
    store.write_bytes(damaged)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("billing_get_balance", {}),
        ("auth_get_state", {}),
        ("auth_get_session_token", {}),
        ("auth_set_credential", {"token": "new-token"}),
        ("auth_clear_session", {}),
        ("auth_clear_credential", {}),
        ("auth_store_session", {"token": "new-token"}),
    ]
    answers = [signed_in.ask(f"openhuman.{method}", params) for method, params in calls]
    told_kinds = [
        (method, reply.get("error", {}).get("code"), reply.get("error", {}).get("data", {}).get("kind"))
        for (method, _), reply in zip(calls, answers, strict=True)
    ]
    assert told_kinds == [(method, -32016, "configuration") for method, _ in calls]
    assert store.read_bytes() == damaged
    assert {seen.target for seen in backend.seen} <= {"/auth/me"}
    assert "mark" not in json.dumps(answers)


@pytest.mark.parametrize("name", ["credentials.json", "vault.key"])
def test_what_others_can_read_is_refused(signed_in: Daemon, start: StartDaemon, backend: Recorder, name: str) -> None:
    """It says which file and what to do, and nothing is sent."""
    path = signed_in.home / "core" / name
    path.chmod(0o640)
    error = start(BACKEND_URL=backend.url, **FILE).error("openhuman.billing_get_balance")
    assert (error["data"]["kind"], str(path) in error["message"], "chmod 600" in error["data"]["hint"]) == (
        "configuration", True, True,
    )  # fmt: skip
    assert backend.seen == []
    path.chmod(0o600)
    start(BACKEND_URL=backend.url, **FILE).result("openhuman.billing_get_balance")


def test_a_session_that_ends_under_many_calls_is_cleared_once(
    start: StartDaemon, backend: Recorder, home: Path
) -> None:
    """Each call of the batch says so, also those that had not begun; a call after it has no session."""
    daemon = start("--max-in-flight", "4", BACKEND_URL=backend.url, **FILE)
    auth(daemon, "set_credential", token=TOKEN)
    auth(daemon, "set_credential", token="the-key", kind="api-key")
    auth(daemon, "clear_credential", kind="api-key")
    before = store_of(home).stat().st_ino
    backend.default = answer(401, {"success": False, "error": "jwt expired"})
    daemon.send([request(number, "openhuman.team_list_teams") for number in range(60)])
    answers = daemon.answer()
    assert {reply["error"]["data"]["kind"] for reply in answers} == {"session_expired"}
    assert len(answers) == 60
    assert len(backend.seen) < 60
    assert store_of(home).stat().st_ino != before
    cleared = store_of(home).stat().st_ino
    assert daemon.error("openhuman.team_list_teams")["data"]["kind"] == "unauthenticated"
    assert store_of(home).stat().st_ino == cleared


def test_a_refused_session_does_not_take_a_newer_one_with_it(start: StartDaemon, backend: Recorder, home: Path) -> None:
    """While the old one was refused, another process signed in."""
    daemon = start(BACKEND_URL=backend.url, **FILE)
    auth(daemon, "set_credential", token=TOKEN)
    backend.default = answer(401, {"success": False, "error": "jwt expired"})
    for token in ("env-token", TOKEN):
        with Daemon(home, env={"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": token, **FILE}) as other:
            assert other.error("openhuman.team_list_teams")["data"]["kind"] == "session_expired"
    assert auth(daemon, "get_session_token") == {"token": TOKEN}


def test_a_row_after_the_end_of_the_session_says_what_the_first_one_said(home: Path, backend: Recorder) -> None:
    """A bulk run is one piece of work."""
    variables = {"BACKEND_URL": backend.url, **FILE}
    with Daemon(home, env=variables) as daemon:
        auth(daemon, "set_credential", token=TOKEN)
    backend.default = answer(401, {"success": False, "error": "jwt expired"})
    rows = b'{"method":"openhuman.team_list_teams"}\n' * 20
    done = run(home, "batch", "-", "--concurrency", "2", stdin=rows, **variables)
    kinds = [json.loads(line)["error"]["kind"] for line in done.stdout.splitlines()]
    assert (done.returncode, kinds) == (9, ["session_expired"] * 20)


def test_the_key_is_kept_in_the_keychain_where_one_works(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """An entry for each home and profile, named after its directory; a home without its keychain opens nothing."""
    desktop = keychain(tmp_path / "keychain", BACKEND_URL=backend.url)
    backend.default = ok({"id": "u1"})
    for variables in ({}, {"OPENHUMAN_PROFILE": "work"}):
        assert login(home, **desktop, **variables).returncode == 0
        assert status(home, **desktop, **variables)["store"] == "keychain"
    entries = json.loads((tmp_path / "keychain").read_bytes())
    core = home / "core"
    assert [*entries] == [f"openhuman-core {core}", f"openhuman-core {core / 'profiles' / 'work'}"]
    assert len({*entries.values()}) == 2
    assert not (core / "vault.key").exists()
    (tmp_path / "keychain").unlink()
    done = run(home, "billing", "get-balance", stdin=b"", **desktop)
    assert (done.returncode, done.stdout, b"the system keychain" in done.stderr) == (2, b"", True)


@pytest.mark.parametrize("mood", ["hangs", "refuses"])
def test_without_a_keychain_that_answers_the_key_is_in_a_file(
    home: Path, tmp_path: Path, backend: Recorder, mood: str
) -> None:
    """Where the keychain was asked for by name, it is told instead, in bounded time."""
    desktop = keychain(tmp_path / "keychain", mood, BACKEND_URL=backend.url)
    done = login(home, **desktop, OPENHUMAN_CREDENTIAL_STORE="keychain")
    assert (done.returncode, json.loads(done.stderr)["error"]["kind"]) == (2, "configuration")
    assert not store_of(home).exists()
    assert login(home, **desktop).returncode == 0
    assert status(home, **desktop)["store"] == "file"


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENHUMAN_CREDENTIAL_STORE": "file"},
        {"DISPLAY": "", "WAYLAND_DISPLAY": ""},
        {"DBUS_SESSION_BUS_ADDRESS": ""},
        {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"},
        {"CI": "true"},
    ],
    ids=["file", "no-screen", "no-bus", "ssh", "ci"],
)
def test_a_keychain_that_nobody_could_unlock_is_not_asked(
    home: Path, tmp_path: Path, backend: Recorder, variables: dict[str, str]
) -> None:
    """Not to sign in, and not to read what was sealed on the desktop, which is told and left as it is."""
    desktop = keychain(tmp_path / "keychain", BACKEND_URL=backend.url)
    here = {**desktop, **variables}
    elsewhere = tmp_path / "elsewhere"
    assert login(elsewhere, **desktop).returncode == 0
    sealed = store_of(elsewhere).read_bytes()
    (tmp_path / "keychain.asked").unlink()
    assert login(home, **here).returncode == 0
    assert status(home, **here)["store"] == "file"
    done = login(elsewhere, **here)
    assert (done.returncode, json.loads(done.stderr)["error"]["kind"]) == (2, "configuration")
    assert store_of(elsewhere).read_bytes() == sealed
    assert not (tmp_path / "keychain.asked").exists()


def test_a_credential_of_the_environment_opens_no_store(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """Neither the keychain nor a damaged file stands in its way, and nothing is written."""
    variables = {**keychain(tmp_path / "keychain", "hangs", BACKEND_URL=backend.url), "OPENHUMAN_API_KEY": "env-key"}
    (home / "core").mkdir(parents=True)
    store_of(home).write_bytes(b"damaged")
    done = run(home, "billing", "get-balance", stdin=b"", **variables)
    assert (done.returncode, backend.seen[-1].headers["x-api-key"]) == (0, "env-key")
    assert not (tmp_path / "keychain.asked").exists()
    assert [*files(home)] == [store_of(home)]


def test_what_lies_somewhere_else_is_refused(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """A home, or a part of one, that is a link: the error says where it leads, and nothing is read there."""
    variables = {"BACKEND_URL": backend.url, **FILE}
    assert login(home, **variables).returncode == 0
    linked = tmp_path / "linked"
    linked.symlink_to(home)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "core").symlink_to(home / "core")
    before, asked = files(home), len(backend.seen)
    for place in (linked, inside):
        done = run(tmp_path, "billing", "get-balance", stdin=b"", **variables, OPENHUMAN_WORKSPACE=str(place))
        assert (done.returncode, done.stdout, str(home).encode() in done.stderr) == (2, b"", True)
    assert files(home) == before
    assert len(backend.seen) == asked


def test_what_lies_behind_a_link_inside_the_home_is_left_alone(
    home: Path, tmp_path: Path, start: StartDaemon, backend: Recorder
) -> None:
    """Files of others are neither read, written, nor removed."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("kept", encoding="utf-8")
    top_up = {"amountUsd": 5, "idempotencyKey": "k"}
    for name, target in (
        ("running", elsewhere),
        ("journal.db", elsewhere / "new"),
        ("vault.key", elsewhere / "precious"),
    ):
        place = home / name.partition(".")[0]
        (place / "core").mkdir(parents=True)
        (place / "core" / name).symlink_to(target)
        daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t", OPENHUMAN_WORKSPACE=str(place))
        assert daemon.error("openhuman.billing_top_up", top_up)["data"]["kind"] == "journal_unavailable"
    assert {path.name: path.read_text(encoding="utf-8") for path in elsewhere.iterdir()} == {"precious": "kept"}
    assert backend.seen == []


def test_what_is_among_the_locks_and_is_none_is_left_alone(home: Path, start: StartDaemon, backend: Recorder) -> None:
    """A directory, and a file with another name."""
    (home / "core" / "running" / "directory").mkdir(parents=True)
    (home / "core" / "running" / "notes.txt").write_text("kept", encoding="utf-8")
    (home / "core").chmod(0o700)
    daemon = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t")
    daemon.result("openhuman.billing_top_up", {"amountUsd": 5, "idempotencyKey": "k"})
    assert {"directory", "notes.txt"} < {path.name for path in (home / "core" / "running").iterdir()}


@pytest.mark.parametrize("place", ["file", "keychain"])
def test_a_key_that_is_missing_is_told_and_not_made_anew(
    home: Path, tmp_path: Path, backend: Recorder, place: str
) -> None:
    """What it sealed opens again when it is back, whatever was tried meanwhile."""
    entries = tmp_path / "keychain"
    variables = (
        keychain(entries, BACKEND_URL=backend.url) if place == "keychain" else {"BACKEND_URL": backend.url, **FILE}
    )
    assert login(home, **variables).returncode == 0
    key = entries if place == "keychain" else home / "core" / "vault.key"
    kept = key.read_bytes()
    key.unlink()
    for words in (("auth", "status"), ("billing", "get-balance"), ("auth", "logout"), LOGIN):
        done = run(home, *words, "--json", stdin=TOKEN.encode(), **variables)
        assert (done.returncode, "is missing" in json.loads(done.stderr)["error"]["message"]) == (2, True)
    assert not key.exists()
    key.write_bytes(kept)
    key.chmod(0o600)
    assert status(home, **variables)["isAuthenticated"] is True


def test_a_store_that_is_a_link_to_nothing_is_refused(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """Nothing takes its place: it may lead to a disk that is not there now."""
    store = home / "core" / "credentials.json"
    store.parent.mkdir(mode=0o700, parents=True)
    store.symlink_to(tmp_path / "nowhere")
    assert (login(home, BACKEND_URL=backend.url, **FILE).returncode, store.is_symlink()) == (2, True)


def test_a_keychain_that_does_not_answer_is_not_asked_for_each_call(
    home: Path, tmp_path: Path, start: StartDaemon, backend: Recorder
) -> None:
    """The daemon waits for it once, and not with every call."""
    entries = tmp_path / "keychain"
    assert login(home, **keychain(entries, BACKEND_URL=backend.url)).returncode == 0
    daemon, asked = start(**keychain(entries, "hangs", BACKEND_URL=backend.url)), tmp_path / "keychain.asked"
    for is_asked in (True, False):
        asked.unlink()
        assert "keychain does not answer" in daemon.error("openhuman.billing_get_balance")["message"]
        assert asked.exists() == is_asked
        asked.touch()


@pytest.fixture
def behind_silence(home: Path, tmp_path: Path, start: StartDaemon, backend: Recorder) -> tuple[Daemon, Path]:
    """Give a daemon whose keychain does not answer any more, and the file that is there once it was asked."""
    entries = tmp_path / "keychain"
    assert login(home, **keychain(entries, BACKEND_URL=backend.url)).returncode == 0
    return start(**keychain(entries, "hangs", BACKEND_URL=backend.url)), tmp_path / "keychain.asked"


def test_others_are_answered_while_a_keychain_does_not_answer(behind_silence: tuple[Daemon, Path]) -> None:
    """Only who needs the credential waits for it."""
    daemon, asked = behind_silence
    asked.unlink()
    daemon.send(request("waits", "openhuman.billing_get_balance"))
    until(asked.exists)
    daemon.send(request("ping", "core.ping"))
    assert [daemon.answer()["id"] for _ in range(2)] == ["ping", "waits"]


def test_a_call_that_waits_for_a_keychain_ends_in_its_own_time(behind_silence: tuple[Daemon, Path]) -> None:
    """Or when it is cancelled; nothing was sent."""
    daemon, asked = behind_silence
    daemon.error("openhuman.billing_top_up", {"amountUsd": 0})  # what is loaded first takes a while
    asked.unlink()
    daemon.send(request("first", "openhuman.team_get_usage"))
    until(asked.exists)
    daemon.send(request("late", "openhuman.billing_top_up", {"amountUsd": 5, "timeoutMs": 100}))
    daemon.send(request("cancelled", "openhuman.billing_top_up", {"amountUsd": 5}))
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "cancelled"}})
    answers = {answer["id"]: answer["error"] for answer in (daemon.answer() for _ in range(3))}
    assert list(answers)[-1] == "first"
    assert answers["late"]["message"] == "reading the stored credential timed out; nothing was sent"
    told = {name: (error["data"]["kind"], error["data"].get("moneyMoved")) for name, error in answers.items()}
    assert told == {
        "cancelled": ("cancelled", "no"),
        "late": ("backend_timeout", "no"),
        "first": ("configuration", None),
    }


def test_a_keychain_is_asked_one_question_at_a_time(behind_silence: tuple[Daemon, Path]) -> None:
    """A call that gave up leaves its question behind: who comes next waits for that, and asks none of its own."""
    daemon, asked = behind_silence
    asked.unlink()
    daemon.send(request("c", "openhuman.billing_get_balance"))
    until(asked.exists)
    asked.unlink()
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert daemon.answer() == failed("c", Cancelled, "the call was cancelled")
    assert daemon.error("openhuman.billing_get_balance")["message"] == "the system keychain does not answer"
    assert not asked.exists()


@pytest.fixture
def fallen_silent(tmp_path: Path, start: StartDaemon, backend: Recorder) -> tuple[Daemon, Path]:
    """Give a daemon that is signed in, whose keychain answers no more, and the file that is there once it was asked."""
    entries, asked = tmp_path / "keychain", tmp_path / "keychain.asked"
    daemon = start(**keychain(entries, BACKEND_URL=backend.url))
    auth(daemon, "set_credential", token=TOKEN)
    asked.unlink()
    entries.with_suffix(".hangs").touch()
    return daemon, asked


def failed(call_id: str, error: type[CoreError], message: str, **facts: Any) -> dict[str, Any]:
    """Give the whole answer to a call that failed."""
    told = error(message, **facts)
    return {"jsonrpc": "2.0", "id": call_id, "error": {"code": told.code, "message": message, "data": told.data()}}


def is_held(lock: Path) -> bool:
    """Tell whether somebody changes the store."""
    try:
        FileLock(lock).acquire(blocking=False).lock.release()
    except Timeout:
        return True
    return False


def test_who_reads_does_not_wait_for_who_changes(backend: Recorder, fallen_silent: tuple[Daemon, Path]) -> None:
    """A change that waits for the keychain takes nothing away that was read, and the journal's key is another."""
    daemon, asked = fallen_silent
    link = {"url": "https://pay.example/1", "gatewayTransactionId": "g"}
    backend.default = ok(link)
    daemon.send(request("changes", "openhuman.auth_set_credential", {"token": "new-token"}))
    until(asked.exists)
    daemon.send(request("reads", "openhuman.auth_get_session_token"))
    read = daemon.answer()
    daemon.send(request("pays", "openhuman.billing_top_up", {"amountUsd": 5, "idempotencyKey": "k"}))
    assert [read, daemon.answer(), daemon.answer()] == [
        {"jsonrpc": "2.0", "id": "reads", "result": {"result": {"token": TOKEN}, "logs": ["session token fetched"]}},
        {"jsonrpc": "2.0", "id": "pays", "result": {"result": link, "logs": ["credit top-up initiated"]}},
        failed("changes", Configuration, "the system keychain does not answer", hint=HINT),
    ]


CHANGES: dict[str, dict[str, Any]] = {
    "auth_set_credential": {"token": "new-token"},
    "auth_clear_session": {},
    "auth_clear_credential": {"kind": "session"},
}


def test_a_change_that_waits_for_a_keychain_ends_in_its_own_time(
    home: Path, backend: Recorder, fallen_silent: tuple[Daemon, Path]
) -> None:
    """So do those that wait for it, and nothing is written then or later."""
    daemon, asked = fallen_silent
    before, lock = store_of(home).read_bytes(), home / "core" / "credentials.lock"
    backend.default = ok({"id": "u1"})
    changes = {**CHANGES, "auth_store_session": {"token": "new-token"}}
    for method, params in changes.items():
        daemon.send(request(method, f"openhuman.{method}", {**params, "timeoutMs": 1500}))
    answers = {answer["id"]: answer for answer in (daemon.answer() for _ in changes)}
    assert (asked.exists(), is_held(lock)) == (True, True)
    late = "changing the stored credential timed out"
    assert answers == {method: failed(method, BackendTimeout, late, effect="not_sent") for method in changes}
    with FileLock(lock, timeout=PATIENCE_SECONDS):
        assert store_of(home).read_bytes() == before
    assert auth(daemon, "get_session_token") == {"token": TOKEN}


@pytest.mark.parametrize(("method", "params"), CHANGES.items(), ids=CHANGES)
def test_a_change_that_waits_for_a_keychain_can_be_cancelled(
    home: Path, fallen_silent: tuple[Daemon, Path], method: str, params: dict[str, Any]
) -> None:
    """It is told at once that nothing was written."""
    daemon, asked = fallen_silent
    before, lock = store_of(home).read_bytes(), home / "core" / "credentials.lock"
    daemon.send(request("c", f"openhuman.{method}", params))
    until(asked.exists)
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert daemon.answer() == failed("c", Cancelled, "the call was cancelled", effect="not_sent")
    assert is_held(lock)
    with FileLock(lock, timeout=PATIENCE_SECONDS):
        assert store_of(home).read_bytes() == before
    assert auth(daemon, "get_session_token") == {"token": TOKEN}


def test_a_login_that_is_cancelled_while_it_is_verified_did_nothing(start: StartDaemon, backend: Recorder) -> None:
    """To ask who a token belongs to changes nothing anywhere."""
    daemon = start(BACKEND_URL=backend.url, **FILE)
    backend.default = SILENCE
    daemon.send(request("c", "openhuman.auth_store_session", {"token": TOKEN}))
    backend.wait_for(1)
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert daemon.answer() == failed("c", Cancelled, "the call was cancelled", effect="not_sent")


def test_what_was_given_up_is_not_stored_later(
    home: Path, tmp_path: Path, start: StartDaemon, backend: Recorder
) -> None:
    """The key could go to a file when the keychain has not answered, but nothing was to be written by then."""
    asked, lock = tmp_path / "keychain.asked", home / "core" / "credentials.lock"
    daemon = start(**keychain(tmp_path / "keychain", "hangs", BACKEND_URL=backend.url))
    daemon.send(request("c", "openhuman.auth_set_credential", {"token": TOKEN}))
    until(asked.exists)
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert daemon.answer() == failed("c", Cancelled, "the call was cancelled", effect="not_sent")
    with FileLock(lock, timeout=PATIENCE_SECONDS):
        assert not store_of(home).exists()
    auth(daemon, "set_credential", token="new-token")
    assert auth(daemon, "get_session_token") == {"token": "new-token"}


@pytest.mark.parametrize("impatient", [None, signal.SIGTERM, signal.SIGINT])
def test_what_was_given_up_does_not_hold_the_end_up(
    home: Path, tmp_path: Path, start: StartDaemon, impatient: signal.Signals | None
) -> None:
    """The program ends while the keychain hangs, before the thread that waits for it goes on and makes a key.

    Signals that come all the while change nothing of it, nor of what is told.
    """
    daemon = start(**keychain(tmp_path / "keychain", "hangs"))
    daemon.send(request("c", "openhuman.auth_set_credential", {"token": TOKEN}))
    until((tmp_path / "keychain.asked").exists)
    daemon.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
    assert daemon.answer() == failed("c", Cancelled, "the call was cancelled", effect="not_sent")

    def knock() -> bool:
        if impatient is not None:
            daemon.signal(impatient)
        return daemon.process.poll() is not None

    daemon.close_input()
    until(knock)
    assert (daemon.end(), {path.name for path in files(home)}) == (0, {"credentials.lock"})
    assert len(daemon.log_records("ended")) == 1


def test_changes_that_wait_for_a_keychain_hold_up_no_payment(
    backend: Recorder, fallen_silent: tuple[Daemon, Path]
) -> None:
    """They wait for each other, and not each in one of the threads that the journal works in."""
    daemon, asked = fallen_silent
    link = {"url": "https://pay.example/1", "gatewayTransactionId": "g"}
    backend.default = ok(link)
    for number in range(60):
        daemon.send(request(number, "openhuman.auth_set_credential", {"token": "new-token"}))
    until(asked.exists)
    daemon.send(request("pays", "openhuman.billing_top_up", {"amountUsd": 5, "idempotencyKey": "k"}))
    paid = {"jsonrpc": "2.0", "id": "pays", "result": {"result": link, "logs": ["credit top-up initiated"]}}
    assert daemon.answer() == paid


def test_who_is_refused_is_told_so_though_the_keychain_hangs(
    backend: Recorder, fallen_silent: tuple[Daemon, Path]
) -> None:
    """Even where the call's own time is over before the store gives way; the session stays, and is refused again."""
    daemon, asked = fallen_silent
    backend.default = answer(401, {"success": False, "error": "jwt expired"})
    route = "GET /payments/credits/balance"
    message = f"SESSION_EXPIRED: Session expired; sign in again (jwt expired) on {route}"
    daemon.send(request("c", "openhuman.billing_get_balance", {"timeoutMs": 1400}))
    assert daemon.answer() == failed("c", SessionExpired, message, httpStatus=401, route=route)
    assert asked.exists()
    assert auth(daemon, "get_session_token") == {"token": TOKEN}


def test_what_was_read_is_used_on_where_a_change_fails(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """A keychain that hangs now had opened the store before."""
    entries = tmp_path / "keychain"
    script = f"""
import os, sys
from pathlib import Path
from openhuman_core.backend.store import CredentialStore
from openhuman_core.errors import Configuration
store = CredentialStore(Path({str(home / "core")!r}), "auto")
print(len(store.entries()))
os.environ["TEST_KEYCHAIN_MOOD"] = "hangs"
try:
    store.remove(lambda entry: True)
except Configuration as problem:
    print(problem.message)
print(len(store.entries()), store.remove(lambda entry: entry.kind == "session"))
"""
    variables = keychain(entries, BACKEND_URL=backend.url)
    assert login(home, **variables).returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(home, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout.splitlines() == ["1", "the system keychain does not answer", "1 []"]


def test_who_is_refused_does_not_wait_for_who_else_writes(home: Path, start: StartDaemon) -> None:
    """However many they are; the session stays then, and is refused again."""
    with Till() as till:
        refused = [refusal(401) for _ in range(60)]
        slow = Step(holds=True)
        till.script = [*refused, slow]
        daemon = start(BACKEND_URL=till.url, **FILE)
        auth(daemon, "set_credential", token=TOKEN)
        with FileLock(home / "core" / "credentials.lock"):
            for number in range(len(refused)):
                daemon.send(request(number, "openhuman.billing_get_balance"))
            for step in refused:
                step.wait()
            daemon.send(request("late", "openhuman.billing_get_balance", {"timeoutMs": 4000}))
            answers = [daemon.answer() for _ in range(len(refused) + 1)]
        slow.go.set()
        told = {answer["id"]: answer["error"]["data"]["kind"] for answer in answers}
        late = told.pop("late")
        assert (told, late) == (dict.fromkeys(range(len(refused)), "session_expired"), "backend_timeout")
        assert answers[-1]["id"] == "late"
        assert auth(daemon, "get_session_token") == {"token": TOKEN}


def test_a_store_of_one_entry_for_each_kind_is_read(signed_in: Daemon) -> None:
    """And never written by a program that knows no other: it would drop the rest."""
    store = store_of(signed_in.home)
    content = json.loads(store.read_bytes())
    store.write_bytes(json.dumps({**content, "version": 2}).encode())
    assert auth(signed_in, "get_session_token") == {"token": TOKEN}
    auth(signed_in, "set_credential", token="a-key", kind="api-key")
    assert json.loads(store.read_bytes())["version"] == 3


def test_a_key_that_sealed_one_file_is_not_made_anew_for_the_other(
    home: Path, start: StartDaemon, backend: Recorder
) -> None:
    """The store and the journal share it: under a new one the other would be lost."""
    key, store = home / "core" / "vault.key", home / "core" / "credentials.json"
    write = ("openhuman.billing_top_up", {"amountUsd": 5, "idempotencyKey": "k"})
    assert login(home, BACKEND_URL=backend.url, **FILE).returncode == 0
    kept = key.read_bytes()
    key.unlink()
    refused = start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t").error(*write)
    assert (refused["data"]["kind"], key.exists(), [seen.verb for seen in backend.seen]) == (
        "journal_unavailable",
        False,
        ["GET"],
    )
    key.write_bytes(kept)
    key.chmod(0o600)
    start(BACKEND_URL=backend.url, OPENHUMAN_TOKEN="t").result(*write)
    key.unlink()
    store.unlink()
    assert (login(home, BACKEND_URL=backend.url, **FILE).returncode, key.exists(), store.exists()) == (2, False, False)


def test_a_running_daemon_notices_that_the_key_is_gone(signed_in: Daemon) -> None:
    """It would seal what nobody could open afterwards."""
    key = signed_in.home / "core" / "vault.key"
    key.unlink()
    error = signed_in.error("openhuman.auth_set_credential", {"token": "new-token"})
    assert (error["data"]["kind"], "is missing" in error["message"], key.exists()) == ("configuration", True, False)


def test_a_running_daemon_takes_the_key_that_another_process_made_anew(
    signed_in: Daemon, start: StartDaemon, backend: Recorder
) -> None:
    """Whoever moves the store away with its key, and signs in again, need not start the daemon anew."""
    for name in ("credentials.json", "vault.key"):
        (signed_in.home / "core" / name).unlink()
    auth(start(BACKEND_URL=backend.url, **FILE), "set_credential", token="new-token")
    assert auth(signed_in, "get_session_token") == {"token": "new-token"}


def test_one_home_in_two_spellings_is_one(home: Path, tmp_path: Path, backend: Recorder) -> None:
    """Its keychain entry is found by either."""
    desktop = keychain(tmp_path / "keychain", BACKEND_URL=backend.url)
    assert login(home, **desktop).returncode == 0
    spelled = f"{tmp_path}/x/../{home.name}"
    assert status(home, **{**desktop, "OPENHUMAN_WORKSPACE": spelled})["isAuthenticated"] is True


def test_nothing_is_written_where_others_may_write(home: Path, backend: Recorder) -> None:
    """Not even the key, which is made before what it seals."""
    (home / "core").mkdir(mode=0o700, parents=True)
    (home / "core").chmod(0o777)
    done = login(home, BACKEND_URL=backend.url, **FILE)
    assert (done.returncode, b"chmod go-w" in done.stderr) == (2, True)
    assert [path.name for path in (home / "core").iterdir()] == []


def test_a_directory_that_others_may_write_to_is_refused(signed_in: Daemon, backend: Recorder) -> None:
    """They could put another store in its place, or say where a credential goes."""
    core = signed_in.home / "core"
    core.chmod(0o777)
    error = signed_in.error("openhuman.auth_set_credential", {"token": "another-token"})
    assert (error["data"]["kind"], error["data"]["hint"]) == ("configuration", f"Run: chmod go-w {core}")
    done = run(signed_in.home, "billing", "get-balance", stdin=b"", BACKEND_URL=backend.url, **FILE)
    assert (done.returncode, f"others may write to {core}" in done.stderr.decode()) == (2, True)


@pytest.mark.parametrize("name", ["core", "core/profiles", "core/profiles/work", "core/profiles/work/config.toml"])
@pytest.mark.parametrize("whose", ["anybody's", pytest.param("another's", marks=AS_ROOT)])
def test_what_somebody_else_could_have_written_says_nothing(
    home: Path, backend: Recorder, name: str, whose: str
) -> None:
    """A config file that sends a credential somewhere, the least."""
    config = home / "core/profiles/work/config.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text(f'api_url = "{backend.url}"\n', encoding="utf-8")
    (home / "core").chmod(0o755)
    if whose == "another's":
        os.chown(home / name, 65534, 65534)
    else:
        (home / name).chmod(0o777)
    done = run(home, "billing", "get-balance", "--profile", "work", stdin=b"", OPENHUMAN_TOKEN="a-token")
    assert (done.returncode, str(home / name) in done.stderr.decode(), backend.seen) == (2, True, [])


def test_what_nobody_else_can_reach_may_have_any_mode(home: Path, backend: Recorder) -> None:
    """An editor makes files as the umask says, which lets a group write on many systems."""
    config = home / "core/config.toml"
    config.parent.mkdir(mode=0o700, parents=True)
    config.write_text(f'api_url = "{backend.url}"\n', encoding="utf-8")
    config.chmod(0o664)
    backend.default = ok({"a": 1})
    done = run(home, "billing", "get-balance", "--json", stdin=b"", OPENHUMAN_TOKEN="a-token")
    assert (done.returncode, json.loads(done.stdout), len(backend.seen)) == (0, {"a": 1}, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_home_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """It is no bug of this program."""
    (tmp_path / "closed").mkdir(mode=0o000)
    done = run(tmp_path / "closed" / "home", "billing", "get-balance", stdin=b"", OPENHUMAN_TOKEN="a-token")
    assert (done.returncode, b"cannot be read" in done.stderr) == (2, True)
