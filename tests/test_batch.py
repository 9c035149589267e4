"""Bulk runs: each row once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import COMMAND, PATIENCE_SECONDS, environment, run
from tests.support.gate import Gate
from tests.support.recorder import CLOSE, SILENCE, Recorder, answer, ok
from tests.support.terminal import Terminal

INVITE = "team.send_email_invite"


def account(backend: Recorder) -> dict[str, str]:
    """Give the variables of someone signed in at the recording hosted API."""
    return {"BACKEND_URL": backend.url, "OPENHUMAN_TOKEN": "test-token", "OPENHUMAN_NO_RETRIES": "1"}


def write_csv(home: Path, emails: list[str]) -> Path:
    """Write a file of invites."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "members.csv"
    path.write_text("teamId,email\n" + "".join(f"t1,{email}\n" for email in emails), encoding="utf-8")
    return path


def invited(backend: Recorder) -> Counter[str]:
    """Count what the hosted API was asked for, by e-mail address."""
    return Counter(json.loads(seen.body)["email"] for seen in backend.seen if seen.verb == "POST")


def results(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """Read the lines of a run."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_run_makes_each_row_once_and_tells_them_in_order(home: Path, backend: Recorder) -> None:
    """A row that stands there twice is made twice; the same run again makes nothing."""
    path = write_csv(home, ["a@x.example", "b@x.example", "a@x.example"])
    words = ["batch", str(path), "--method", INVITE, "--concurrency", "3"]
    first = run(home, *words, stdin=b"", **account(backend))
    assert (first.returncode, invited(backend)) == (0, {"a@x.example": 2, "b@x.example": 1})
    assert results(first) == [{"row": n, "ok": True, "replayed": False, "result": {}} for n in (2, 3, 4)]
    assert first.stderr == b"3 rows of run members.csv: 3 done, 0 of them before, 0 failed\n"
    again = run(home, *words, stdin=b"", **account(backend))
    assert results(again) == [{"row": n, "ok": True, "replayed": True, "result": {}} for n in (2, 3, 4)]
    assert (again.returncode, invited(backend).total()) == (0, 3)
    assert again.stderr == b"3 rows of run members.csv: 3 done, 3 of them before, 0 failed\n"
    other = run(home, *words, "--run", "second", stdin=b"", **account(backend))
    assert (other.returncode, invited(backend).total()) == (0, 6)


@pytest.mark.parametrize(
    ("text", "options", "numbers"),
    [
        ('\n{"method":"team.list_teams"}\n\n \n{"method":"team.list_teams"}', [], [2, 5]),
        ('teamId,email\nt,"a\nb"\n\n"t",c\nt,d,e\n', ["--method", INVITE], [2, 5, 6]),
        ("teamId,email\r\nt,a\r\n\r\nt,b", ["--method", INVITE], [2, 4]),
    ],
    ids=["JSON lines", "cells with line ends", "the line ends of Windows"],
)
def test_the_number_of_a_row_is_that_of_its_first_line(
    home: Path, backend: Recorder, text: str, options: list[str], numbers: list[int]
) -> None:
    """Where an editor finds it."""
    done = run(home, "batch", "-", *options, "--run", "today\x1b", stdin=text.encode(), **account(backend))
    assert [row["row"] for row in results(done)] == numbers
    assert f"{len(numbers)} rows of run today\\u001b: ".encode() in done.stderr


def test_rows_of_any_method_come_from_stdin(home: Path, backend: Recorder) -> None:
    """One bad row fails alone, and makes the exit code 9."""
    rows = [
        {"id": "first", "method": "openhuman.billing_get_balance"},
        {"method": "team.update_team", "params": {"teamId": "t", "name": "n"}},
        {"method": "no.such"},
        {"method": "team.get_team", "params": {}},
        {"params": {}},
        7,
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows) + "not JSON\n\n"
    done = run(home, "batch", "-", stdin=lines.encode(), **account(backend))
    told = [(row["row"], row.get("id"), row["ok"] or row["error"]["kind"]) for row in results(done)]
    assert told == [
        (1, "first", True),
        (2, None, True),
        (3, None, "method_not_found"),
        (4, None, "invalid_params"),
        (5, None, "invalid_params"),
        (6, None, "invalid_params"),
        (7, None, "invalid_params"),
    ]
    assert (done.returncode, [seen.verb for seen in backend.seen]) == (9, ["GET", "PUT"])


def test_what_asks_first_is_asked_for_before_the_first_row(home: Path, backend: Recorder) -> None:
    """A run that pays does not begin without a yes, and says what it holds."""
    row = json.dumps({"method": "billing.top_up", "params": {"amountUsd": 5}}).encode() + b"\n"
    refused = run(home, "batch", "-", stdin=row * 3, **account(backend))
    assert (refused.returncode, refused.stdout, backend.seen) == (13, b"", [])
    assert b"3 x openhuman.billing_top_up" in refused.stderr
    done = run(home, "batch", "-", "--yes", stdin=row * 3, **account(backend))
    assert (done.returncode, len(backend.seen)) == (0, 3)


def test_a_run_is_checked_against_the_expected_account_once(home: Path, backend: Recorder) -> None:
    """Before the first write, and not for each."""
    path = write_csv(home, ["a@x.example", "b@x.example"])
    backend.script = [ok({"_id": "u1"})]
    words = ["batch", str(path), "--method", INVITE, "--expect-user"]
    assert run(home, *words, "u1", stdin=b"", **account(backend)).returncode == 0
    assert [seen.verb for seen in backend.seen] == ["GET", "POST", "POST"]
    backend.script = [ok({"_id": "u1"})]
    wrong = run(home, *words, "u2", "--run", "other", stdin=b"", **account(backend))
    assert (wrong.returncode, wrong.stdout, len(backend.seen)) == (5, b"", 4)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("teamId,email\nt\n", "invalid_params"), ("teamId,email\n,x\n", "invalid_params")],
    ids=["a short row", "an empty cell"],
)
def test_a_bad_csv_row_fails_alone(home: Path, backend: Recorder, text: str, kind: str) -> None:
    """Nothing is sent for it."""
    write_csv(home, [])
    (home / "bad.csv").write_text(text, encoding="utf-8")
    done = run(home, "batch", str(home / "bad.csv"), "--method", INVITE, stdin=b"", **account(backend))
    assert [row["error"]["kind"] for row in results(done)] == [kind]
    assert (done.returncode, backend.seen) == (9, [])


def test_a_lost_answer_is_listed_until_it_is_settled(home: Path, backend: Recorder) -> None:
    """Nobody is invited twice meanwhile."""
    path = write_csv(home, ["a@x.example", "b@x.example"])
    backend.script = [CLOSE]
    words = ["batch", str(path), "--method", INVITE, "--concurrency", "1"]
    for _ in range(2):
        done = run(home, *words, stdin=b"", **account(backend))
        assert (done.returncode, [row["ok"] for row in results(done)]) == (9, [False, True])
        assert b"The outcome of rows 2 is unknown" in done.stderr
    assert invited(backend) == {"a@x.example": 1, "b@x.example": 1}
    key = results(done)[0]["idempotencyKey"]
    settle = ["journal", "resolve", "--idempotency-key", key, "--outcome", "not-done"]
    assert run(home, *[*settle[:-1], "not_done"], stdin=b"", **account(backend)).returncode == 0
    assert run(home, *words, stdin=b"", **account(backend)).returncode == 0
    assert invited(backend) == {"a@x.example": 2, "b@x.example": 1}


def test_a_killed_run_is_started_again_until_the_ledger_equals_the_file(home: Path, backend: Recorder) -> None:
    """What a kill left unknown is settled by what the hosted API knows, as an operator would."""
    emails = [f"{n}@x.example" for n in range(40)] + ["0@x.example"]
    path = write_csv(home, emails)
    words = ["batch", str(path), "--method", INVITE, "--concurrency", "5"]
    env = environment(home, **account(backend))
    for count in (3, 9, 10, 22, 31):
        with subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
        ) as killed:
            backend.wait_for(count)
            killed.kill()
            killed.wait(PATIENCE_SECONDS)
    for _ in range(3):
        done = run(home, *words, stdin=b"", **account(backend))
        unknown = [row for row in results(done) if not row["ok"]]
        assert all(row["error"]["kind"] == "outcome_unknown" for row in unknown)
        for row in unknown:
            reached = row["idempotencyKey"] in {seen.headers["idempotency-key"] for seen in backend.seen}
            outcome = "done" if reached else "not_done"
            words_to_settle = ["journal", "resolve", "--idempotency-key", row["idempotencyKey"], "--outcome", outcome]
            assert run(home, *words_to_settle, stdin=b"", **account(backend)).returncode == 0
    assert (done.returncode, invited(backend)) == (0, Counter(emails))


def test_a_large_run_takes_constant_memory(home: Path, backend: Recorder) -> None:
    """Rows are read, made and told as they come."""
    home.mkdir()
    program = (
        "import resource, sys; from openhuman_core.cli.main import run; code = run(sys.argv[1:]);"
        "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = []
    for count in (500, 5_000):
        rows = "".join(json.dumps({"method": "billing.get_balance", "id": n}) + "\n" for n in range(count))
        (home / "rows.jsonl").write_text(rows, encoding="utf-8")
        done = subprocess.run(
            [COMMAND[0], "-c", program, "batch", str(home / "rows.jsonl"), "--concurrency", "50"],
            capture_output=True,
            env=environment(home, **account(backend)),
            timeout=60,
            check=False,
        )
        code, peak = done.stderr.splitlines()[-1].split()
        assert (int(code), [row["id"] for row in results(done)]) == (0, list(range(count)))
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 8 * 1024  # KiB


def test_a_run_keeps_to_its_rate(home: Path, backend: Recorder) -> None:
    """So many rows a second at the most, by the hosted API's clock."""
    backend.default = answer(body={"success": True, "data": {}})
    rows = json.dumps({"method": "billing.get_balance"}).encode() + b"\n"
    done = run(home, "batch", "-", "--rate", "20", stdin=rows * 11, **account(backend))
    assert done.returncode == 0
    assert backend.times[-1] - backend.times[0] > 0.45


def test_a_file_that_is_not_there_is_a_usage_error(home: Path) -> None:
    """Told in a line."""
    done = run(home, "batch", "/no/such/file")
    assert (done.returncode, done.stdout, b"cannot be read" in done.stderr) == (2, b"", True)


def test_an_interrupted_run_tells_how_far_it_came(home: Path, backend: Recorder) -> None:
    """What was under way is unknown, and the run can be started again."""
    path = write_csv(home, [f"{n}@x.example" for n in range(20)])
    backend.script = [ok({}), ok({})]
    backend.default = SILENCE
    words = ["batch", str(path), "--method", INVITE, "--concurrency", "1"]
    env = environment(home, **account(backend))
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        backend.wait_for(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    kinds = [row["ok"] or row["error"]["kind"] for row in map(json.loads, out.splitlines())]
    assert (process.returncode, kinds) == (130, [True, True, "cancelled"])
    assert b"interrupted" in err
    backend.default = ok({})
    again = run(home, *words, stdin=b"", **account(backend))
    assert [row["ok"] for row in results(again)] == [True, True, False, *[True] * 17]
    assert b"2 of them before, 1 failed" in again.stderr


def test_a_row_for_another_team_fails_alone(home: Path, backend: Recorder) -> None:
    """The expected team holds for each row that names one."""
    write_csv(home, [])
    (home / "two.csv").write_text("teamId,email\nt1,a@x.example\nt2,b@x.example\n", encoding="utf-8")
    backend.default = ok({"_id": "u1", "activeTeamId": "t9"})
    words = ["batch", str(home / "two.csv"), "--method", INVITE, "--expect-team", "t1"]
    done = run(home, *words, stdin=b"", **account(backend))
    assert [row["ok"] or row["error"]["kind"] for row in results(done)] == [True, "policy_denied"]
    assert (done.returncode, invited(backend)) == (9, {"a@x.example": 1})


def test_a_row_without_a_team_acts_in_the_active_one_which_must_be_the_expected_one(
    home: Path, backend: Recorder
) -> None:
    """Else the wrong team would be charged."""
    backend.default = ok({"_id": "u1", "activeTeamId": "t9"})
    row = json.dumps({"method": "billing.top_up", "params": {"amountUsd": 5}}).encode()
    done = run(home, "batch", "-", "--yes", "--expect-team", "t1", stdin=row, **account(backend))
    assert (done.returncode, [seen.verb for seen in backend.seen]) == (5, ["GET"])


def test_the_question_names_account_place_and_amount(home: Path, backend: Recorder) -> None:
    """Of all rows together."""
    row = json.dumps({"method": "billing.top_up", "params": {"amountUsd": 5.5}}).encode() + b"\n"
    done = run(home, "batch", "-", stdin=row * 2, **account(backend))
    assert all(
        part in done.stderr.decode() for part in ("2 x openhuman.billing_top_up of 11.00 USD", "session:", backend.url)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\ufeffteamId,email\nt1,a@x.example\n".encode(), [True]),
        (b'"team-id",EMAIL\r\n"t1","a@x.example"\r\n\r\n', [True]),
        (b"teamId,email\nt1,a\xff@x.example\nt1,b@x.example\n", ["invalid_params", True]),
        (b"teamId,email\nt1," + b"a" * 200_000 + b"\nt1,b@x.example\n", [True, True]),
    ],
    ids=["a byte order mark", "quotes and other spellings", "bytes that are no text", "a very long cell"],
)  # fmt: skip
def test_csv_is_read_as_it_comes(home: Path, backend: Recorder, text: bytes, told: list[Any]) -> None:
    """One bad row fails alone."""
    home.mkdir()
    (home / "odd.csv").write_bytes(text)
    done = run(home, "batch", str(home / "odd.csv"), "--method", INVITE, stdin=b"", **account(backend))
    assert [row["ok"] or row["error"]["kind"] for row in results(done)] == told


@pytest.mark.parametrize("columns", ["name,name", "name,Name", "name,mail", "Ada,a@x.example", '{"name":"Ada"}'])
def test_columns_that_are_no_params_or_two_of_one_name_are_refused(home: Path, backend: Recorder, columns: str) -> None:
    """Which of the two counts, nobody could say; a first row that names nothing is data, which is not repeated."""
    for text in (columns, f"{columns}\na,b"):
        words = ["batch", "-", "--method", "team.create_team", "--yes"]
        done = run(home, *words, stdin=f"{text}\n".encode(), **account(backend))
        assert (done.returncode, done.stdout, backend.seen) == (2, b"", [])
        assert b"Ada" not in done.stderr


def test_a_key_of_null_is_no_key(home: Path, backend: Recorder) -> None:
    """The row gets one as any other."""
    row = json.dumps({"method": "team.create_team", "params": {"name": "n", "idempotencyKey": None}}).encode()
    for _ in range(2):
        assert run(home, "batch", "-", stdin=row, **account(backend)).returncode == 0
    assert len(backend.seen) == 1


def test_numbers_keep_their_form(home: Path, backend: Recorder) -> None:
    """As everywhere."""
    backend.default = answer(raw=b'{"success":true,"data":{"n":12345678901234567890.10,"m":1e999}}')
    done = run(home, "batch", "-", stdin=b'{"method":"billing.get_balance","params":null}', **account(backend))
    assert b'"result":{"n":12345678901234567890.10,"m":1e999}}' in done.stdout


def test_a_reader_that_has_enough_ends_a_run(home: Path, backend: Recorder) -> None:
    """As `| head -1` does: what is under way ends, no more is begun, and who asks is told that rows are missing."""
    home.mkdir()
    (home / "rows.jsonl").write_text('{"method":"billing.get_balance"}\n' * 2_000, encoding="utf-8")
    words, env = [*COMMAND, "batch", str(home / "rows.jsonl")], environment(home, **account(backend))
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        summary, told = process.stderr.read().decode().splitlines()
        assert process.wait(PATIENCE_SECONDS) == 9
    done = int(summary.split()[0])
    assert summary == f"{done} rows of run rows.jsonl: {done} done, 0 of them before, 0 failed"
    assert told == f"The output cannot be written (Broken pipe): {2_000 - done} rows were not begun"
    assert len(backend.seen) == done < 2_000


@pytest.mark.parametrize("output", ["2>&-", "2>/dev/full", ""], ids=["closed", "full", "without a reader"])
def test_a_stderr_that_cannot_be_written_stops_no_run(home: Path, backend: Recorder, output: str) -> None:
    """All rows are made, and the exit code is theirs."""
    home.mkdir()
    (home / "rows.jsonl").write_text('{"method":"billing.get_balance"}\n' * 9 + "no row\n", encoding="utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {output}', "sh", *COMMAND, "batch", "rows.jsonl"],
        stdout=subprocess.PIPE,
        stderr=writing,
        env=environment(home, **account(backend)),
        cwd=home,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, [row["ok"] for row in results(done)]) == (9, [True] * 9 + [False])


@pytest.mark.parametrize(("output", "code", "asked"), [(">&-", 1, 0), (">/dev/full", 9, 1)], ids=["closed", "full"])
def test_a_run_whose_results_are_lost_goes_no_further(
    home: Path, backend: Recorder, output: str, code: int, asked: int
) -> None:
    """Without a stdout it does not begin."""
    home.mkdir()
    (home / "rows.jsonl").write_text('{"method":"billing.get_balance"}\n' * 9, encoding="utf-8")
    words = [*COMMAND, "batch", "rows.jsonl", "--concurrency", "1"]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {output}', "sh", *words],
        stderr=subprocess.PIPE,
        env=environment(home, **account(backend)),
        cwd=home,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, len(backend.seen), b"utput cannot be written" in done.stderr) == (code, asked, True)


def test_a_dry_run_of_a_file_sends_nothing(home: Path, backend: Recorder) -> None:
    """Each row is shown with its request and its key."""
    path = write_csv(home, ["a@x.example", "b@x.example"])
    done = run(home, "batch", str(path), "--method", INVITE, "--dry-run", stdin=b"", **account(backend))
    told = [(row["dryRun"], row["request"]["body"], row["idempotencyKey"][:6]) for row in results(done)]
    assert told == [(True, {"email": email}, "batch-") for email in ("a@x.example", "b@x.example")]
    assert (done.returncode, backend.seen) == (0, [])


@pytest.mark.parametrize("cell", ["05", "007", "00.5", "٢٥", "NaN", "1e", "0x1", "1_000"])
def test_a_cell_that_is_no_number_fails_alone(home: Path, backend: Recorder, cell: str) -> None:
    """A number is what JSON calls so; anything else stays the text that the check refuses."""
    text = f"amountUsd\n{cell}\n25.50\n".encode()
    done = run(home, "batch", "-", "--method", "billing.top_up", "--yes", stdin=text, **account(backend))
    assert [row["ok"] or row["error"]["message"] for row in results(done)] == [
        "invalid params: amountUsd: expected an integer or a number",
        True,
    ]
    assert (done.returncode, [json.loads(seen.body)["amountUsd"] for seen in backend.seen]) == (9, [25.5])


@pytest.mark.parametrize(
    ("method", "text", "params"),
    [
        ("api_keys.create", "name,scopes\nn,read\n", {"name": "n", "scopes": ["read"]}),
        ("api_keys.create", 'name,scopes\nn,"[""read"",""write""]"\n', {"scopes": ["read", "write"]}),
        ("api_keys.create", "name\n@/dev/null\n", {"name": "@/dev/null"}),
        ("billing.update_auto_recharge", 'payload\n"{""enabled"":true}"\n', {"enabled": True}),
        ("billing.update_auto_recharge", "payload\n@/dev/null\n", None),
        ("billing.update_auto_recharge", "payload\n-\n", None),
    ],
    ids=["one of a list", "a list", "text that options read", "an object", "a file's name", "a dash"],
)
def test_a_cell_is_its_text(home: Path, backend: Recorder, method: str, text: str, params: Any) -> None:
    """JSON where the param is an object or the cell begins with a bracket; never what `@file` and `-` stand for."""
    home.mkdir()
    (home / "one.csv").write_text(text, encoding="utf-8")
    words = ["batch", str(home / "one.csv"), "--method", method]
    done = run(home, *words, stdin=b'{"from":"stdin"}', **account(backend))
    sent = [json.loads(seen.body) for seen in backend.seen]
    assert (done.returncode, sent) == ((9, []) if params is None else (0, [{**sent[0], **params}]))


@pytest.mark.parametrize("cell", ["true", "FALSE", "yes"])
def test_a_cell_can_be_true_or_false(home: Path, backend: Recorder, cell: str) -> None:
    """As JSON and as spreadsheets write it."""
    text = f"gatewayTransactionId,sync\nc,{cell}\n".encode()
    done = run(home, "batch", "-", "--method", "billing.get_coinbase_charge", stdin=text, **account(backend))
    assert (done.returncode, len(backend.seen)) == ((9, 0) if cell == "yes" else (0, 1))


def test_what_is_asked_about_is_what_is_made(home: Path, backend: Recorder) -> None:
    """Rows that are added while the question waits are of the next run."""
    home.mkdir()
    path, row = home / "pay.jsonl", json.dumps({"method": "billing.top_up", "params": {"amountUsd": 5}}) + "\n"
    path.write_text(row, encoding="utf-8")
    terminal = Terminal(home, "batch", str(path), env=account(backend))
    terminal.wait_for("1 x openhuman.billing_top_up of 5.00 USD")
    path.write_text(row * 2, encoding="utf-8")
    terminal.type("y")
    assert (terminal.end(), len(backend.seen)) == (0, 1)
    assert f'\r{"":60}\r{{"row":' in terminal.shown  # the bar makes room for the row


def test_a_closed_stdin_cannot_be_read(home: Path, backend: Recorder) -> None:
    """What has its number may be another file."""
    home.mkdir()
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "batch", "-"],
        capture_output=True,
        env=environment(home, **account(backend)),
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, b"stdin is closed" in done.stderr) == (2, b"", True)


def test_a_quote_that_is_not_closed_is_told(home: Path, backend: Recorder) -> None:
    """What follows it is not taken for one cell's text."""
    text = b'teamId,email\nt1,a@x.example\nt1,"b@x.example\nt1,c@x.example\n'
    done = run(home, "batch", "-", "--method", INVITE, stdin=text, **account(backend))
    assert [(row["row"], row["ok"] or row["error"]["message"]) for row in results(done)] == [
        (2, True),
        (3, "the file is no CSV from here on: unexpected end of data"),
    ]
    assert (done.returncode, invited(backend)) == (9, {"a@x.example": 1})


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"idempotencyKey": "k"}, "a row has no member 'idempotencyKey': only id, method, params"),
        ({"params": ""}, "params of a row must be an object"),
        ({"params": []}, "params of a row must be an object"),
        ({"params": False}, "params of a row must be an object"),
    ],
)
def test_a_row_holds_only_what_counts(home: Path, backend: Recorder, more: dict[str, Any], told: str) -> None:
    """A key beside the params would seem to be one."""
    row = json.dumps({"method": "team.list_teams", **more}).encode()
    done = run(home, "batch", "-", stdin=row, **account(backend))
    assert [row["error"]["message"] for row in results(done)] == [told]
    assert (done.returncode, backend.seen) == (9, [])


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('{"method":"billing.top_up","params":{"amountUsd":25.0}}', []),
        ('{"method":"billing.top-up","params":{"gateway":" Stripe ","amountUsd":2.5e1,"timeoutMs":9000}}', []),
        ("amountUsd\n25.00\n", ["--method", "billing.top_up"]),
    ],
)
def test_a_row_is_the_same_however_it_is_spelled(home: Path, backend: Recorder, text: str, options: list[str]) -> None:
    """The run that is started again pays nothing twice."""
    words, first = ["batch", "-", "--yes"], b'{"method":"billing.top_up","params":{"amountUsd":25}}'
    assert run(home, *words, stdin=first, **account(backend)).returncode == 0
    again = run(home, *words, *options, stdin=text.encode(), **account(backend))
    assert ([row["replayed"] for row in results(again)], len(backend.seen)) == ([True], 1)


def test_a_name_that_is_no_text_names_a_run(home: Path, backend: Recorder) -> None:
    """The file's, or one that is given."""
    home.mkdir()
    path = os.fsencode(home) + b"/\xff.jsonl"
    with open(path, "wb") as file:  # noqa: PTH123 - pathlib has no such names
        file.write(b'{"method":"team.create_team","params":{"name":"n"}}')
    words, env = [*map(os.fsencode, COMMAND), b"batch", path], environment(home, **account(backend))
    for more in ([], [b"--run", b"\xff.jsonl"], [b"--run", b"\xfe"]):
        done = subprocess.run([*words, *more], capture_output=True, env=env, timeout=PATIENCE_SECONDS, check=False)
        assert (done.returncode, b"1 rows of run \\udcf" in done.stderr) == (0, True)
    assert len(backend.seen) == 2


@pytest.mark.parametrize("rate", ["nan", "inf", "1e-320", "0", "-1", "10001"])
def test_a_rate_that_no_run_could_keep_is_refused(home: Path, backend: Recorder, rate: str) -> None:
    """Before anything is read."""
    done = run(home, "batch", "-", "--rate", rate, stdin=b"{}", **account(backend))
    assert (done.returncode, done.stdout, b"--rate is not between 0.001 and 10000" in done.stderr) == (2, b"", True)


def test_nobody_is_asked_before_it_is_known_who_would_pay(home: Path, backend: Recorder) -> None:
    """Without a credential a run fails as a single call does."""
    row = b'{"method":"billing.top_up","params":{"amountUsd":5}}'
    for yes in ([], ["--yes"]):
        done = run(home, "batch", "-", *yes, stdin=row, BACKEND_URL=backend.url)
        assert (done.returncode, done.stdout, b"unauthenticated" in done.stderr) == (4, b"", True)


def test_so_many_rows_are_under_way_at_the_same_time(home: Path) -> None:
    """As many as --concurrency says, and never more."""
    gate, teams = Gate(), [f"t{n}" for n in range(20)]
    rows = "".join(json.dumps({"method": "team.get_team", "params": {"teamId": team}}) + "\n" for team in teams)
    words, env = [*COMMAND, "batch", "-", "--concurrency", "3"], environment(home, **gate.env)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None
        process.stdin.write(rows.encode())
        process.stdin.close()
        assert process.stdout is not None
        for _ in range(3):
            gate.wait_for_request()
        for team in teams[:4]:
            gate.go[f"/teams/{team}"].release()
            gate.wait_for_request()
            assert process.stdout.readline()
        assert not gate.came.acquire(blocking=False)
        for team in teams[4:]:
            gate.go[f"/teams/{team}"].release()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_rows_go_only_so_far_ahead_of_one_that_hangs(home: Path, backend: Recorder) -> None:
    """Else the results that wait for its own would fill the memory."""
    backend.script = [SILENCE]
    row = json.dumps({"method": "billing.get_balance", "params": {"timeoutMs": 3_000}}) + "\n"
    done = run(home, "batch", "-", "--concurrency", "8", stdin=row.encode() * 401, **account(backend))
    assert sorted(row["ok"] for row in results(done)) == [False] + [True] * 400  # any of the first eight comes first
    assert backend.times[256 + 8] - backend.times[0] > 2.5


@pytest.mark.parametrize("row_id", ["1e999", "[-1e400]", '{"a":1}', "true"])
def test_a_row_whose_id_cannot_be_given_back_fails_alone(home: Path, backend: Recorder, row_id: str) -> None:
    """The payments beside it go on."""
    backend.default = ok({"url": "https://pay.example/1"})
    pay = b'{"method":"openhuman.billing_top_up","params":{"amountUsd":5}}\n'
    odd = f'{{"method":"openhuman.billing_top_up","params":{{"amountUsd":5}},"id":{row_id}}}\n'.encode()
    done = run(home, "batch", "-", "--yes", stdin=pay + odd + pay, **account(backend))
    kinds = [row["ok"] or row["error"]["kind"] for row in results(done)]
    assert (done.returncode, kinds) == (9, [True, "invalid_params", True])


def test_an_amount_beyond_all_numbers_fails_alone(home: Path, backend: Recorder) -> None:
    """It is counted in no sum."""
    backend.default = ok({"url": "https://pay.example/1"})
    home.mkdir(parents=True)
    (home / "pay.csv").write_text(f"amountUsd\n{'9' * 400}\n7\n7,stripe\n", encoding="utf-8")
    words = ("batch", "pay.csv", "--method", "billing.top_up")
    asked = run(home, *words, stdin=b"", **account(backend))
    assert (asked.returncode, b"of 7.00 USD" in asked.stderr) == (13, True)
    done = run(home, *words, "--yes", stdin=b"", **account(backend))
    assert (done.returncode, [row["ok"] for row in results(done)]) == (9, [False, True, False])
    assert {row["error"]["moneyMoved"] for row in results(done) if not row["ok"]} == {"no"}


def test_a_run_for_another_account_says_that_no_money_moved(home: Path, backend: Recorder) -> None:
    """Where its rows pay."""
    backend.default = ok({"_id": "u2"})
    row = b'{"method":"openhuman.billing_top_up","params":{"amountUsd":5}}\n'
    words = ("batch", "-", "--yes", "--json", "--expect-user", "u1")
    error = json.loads(run(home, *words, stdin=row, **account(backend)).stderr)["error"]
    assert (error["kind"], error["moneyMoved"]) == ("policy_denied", "no")
