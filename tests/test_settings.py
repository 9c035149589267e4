"""Flags, environment, files and defaults, in that order."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openhuman_core.errors import Configuration
from openhuman_core.settings import Settings, UsageError, home_of, load, parse_flags
from tests.support.daemon import run

PRODUCTION, STAGING = "https://api.tinyhumans.ai", "https://staging-api.tinyhumans.ai"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory of our own, below one that may hold a `.env`."""
    directory = tmp_path / "repository" / "deep" / "down"
    directory.mkdir(parents=True)
    monkeypatch.chdir(directory)
    return directory


def settings(home: Path, *flags: str, config: str | None = None, **environ: str) -> Settings:
    """Load the settings of a home with this config file."""
    if config is not None:
        (home / "core").mkdir(parents=True, exist_ok=True)
        (home / "core" / "config.toml").write_text(config, encoding="utf-8")
    return load(parse_flags([*flags]), {"OPENHUMAN_WORKSPACE": str(home), **environ})


def test_without_anything_set_the_defaults_hold(home: Path) -> None:
    """They are the wire contract's, section 8."""
    assert settings(home) == Settings(
        framing="auto",
        sandbox=False,
        max_in_flight=100,
        max_message_bytes=16 * 1024 * 1024,
        max_batch=1000,
        drain_seconds=4.0,
        connect_timeout_seconds=15.0,
        timeout_seconds=120.0,
        log_level="info",
        backend_url=PRODUCTION,
        home=home,
        api_key=None,
        token=None,
    )


@pytest.mark.parametrize(
    ("name", "texts", "values"),
    [
        pytest.param("framing", ("lines", "headers", "lines"), ("lines", "headers", "lines"), id="a word"),
        pytest.param("max_in_flight", ("1", "2", "3"), (1, 2, 3), id="a count"),
        pytest.param("drain_seconds", ("0", "2.5", "3"), (0.0, 2.5, 3.0), id="a number"),
        pytest.param("sandbox", ("true", "false", "true"), (True, False, True), id="a flag"),
        pytest.param("log_level", ("debug", "error", "warning"), ("debug", "error", "warning"), id="a level"),
    ],
)
def test_a_flag_beats_the_environment_which_beats_the_file(
    home: Path, name: str, texts: tuple[str, str, str], values: tuple[Any, Any, Any]
) -> None:
    """For each kind of value."""
    file = f"{name} = {texts[2]}" if name not in ("framing", "log_level") else f'{name} = "{texts[2]}"'
    variables = {f"OPENHUMAN_{name.upper()}": texts[1]}
    flag = f"--{name.replace('_', '-')}={texts[0]}"
    found = [
        settings(home, flag, config=file, **variables),
        settings(home, config=file, **variables),
        settings(home, config=file),
        settings(home, config=file, **dict.fromkeys(variables, "")),
    ]
    assert [getattr(each, name) for each in found] == [*values, values[2]]


def test_the_base_url_has_its_own_order(home: Path) -> None:
    """Each source is skipped when it is empty."""
    variables = {"BACKEND_URL": "https://b", "VITE_BACKEND_URL": "https://v"}
    config = 'api_url = "https://c"'
    found = [
        settings(home, "--backend-url", "https://a", config=config, **variables),
        settings(home, "--backend-url=", config=config, **variables),
        settings(home, config=config, **variables),
        settings(home, config=config, **{**variables, "BACKEND_URL": ""}),
        settings(home, config=config, BACKEND_URL="", VITE_BACKEND_URL=""),
        settings(home, config='api_url = ""'),
    ]
    assert [each.base_url() for each in found] == [
        "https://a",
        "https://b",
        "https://b",
        "https://v",
        "https://c",
        PRODUCTION,
    ]


@pytest.mark.parametrize(
    ("variables", "profile"),
    [
        pytest.param({}, "production", id="unset"),
        pytest.param({"OPENHUMAN_APP_ENV": "staging"}, "staging", id="ours"),
        pytest.param({"VITE_OPENHUMAN_APP_ENV": "staging"}, "staging", id="the frontend's"),
        pytest.param({"OPENHUMAN_APP_ENV": "", "VITE_OPENHUMAN_APP_ENV": "staging"}, "staging", id="ours empty"),
        pytest.param(
            {"OPENHUMAN_APP_ENV": "production", "VITE_OPENHUMAN_APP_ENV": "staging"}, "production", id="ours first"
        ),
        pytest.param({"OPENHUMAN_APP_ENV": "production"}, "production", id="production"),
    ],
)
def test_staging_has_its_own_url_and_home(
    variables: dict[str, str], profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both can still be set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load({}, variables)
    assert found.base_url() == {"production": PRODUCTION, "staging": STAGING}[profile]
    assert found.home == tmp_path / {"production": ".openhuman", "staging": ".openhuman-staging"}[profile]
    assert found.core == found.home / "core"
    set_all = load({}, {**variables, "BACKEND_URL": "https://x", "OPENHUMAN_WORKSPACE": str(tmp_path / "w")})
    assert (set_all.base_url(), set_all.home) == ("https://x", tmp_path / "w")


def test_a_home_may_be_written_as_people_write_it(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative, with a tilde, or empty, which is the default."""
    monkeypatch.setenv("HOME", str(elsewhere))
    homes = [load({}, {"OPENHUMAN_WORKSPACE": text}).home for text in ("w", "~/w", "")]
    assert homes == [elsewhere / "w", elsewhere / "w", elsewhere / ".openhuman"]


@pytest.mark.parametrize(
    ("text", "base_url"),
    [
        ("https://host", "https://host"),
        ("https://host/", "https://host"),
        ("https://host/path/more?query=1#fragment", "https://host"),
        ("https://host?query", "https://host"),
        ("https://host#fragment", "https://host"),
        ("https://user:secret@host:8443/path", "https://host:8443"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://[::1]:8787/path", "http://[::1]:8787"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
        ("HTTPS://API.Example.COM", "https://api.example.com"),
        ("api.example.com", "https://api.example.com"),
        ("api.example.com:8443", "https://api.example.com:8443"),
        ("localhost:8787/path", "https://localhost:8787"),
        ("//api.example.com/path", "https://api.example.com"),
        ("  https://host \n", "https://host"),
        ("https://host:", "https://host"),
        ("https://host:0", "https://host:0"),
        ("https://host/?next=https://other", "https://host"),
        ("host/?next=https://other", "https://host"),
    ],
)
def test_a_base_url_is_reduced_to_scheme_host_and_port(home: Path, text: str, base_url: str) -> None:
    """Credentials in it go nowhere."""
    assert settings(home, BACKEND_URL=text).base_url() == base_url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host",
        "file:///etc/passwd",
        "javascript://host",
        "https://",
        "https:///path",
        "https://:443",
        "https://user@",
        "https://host:port",
        "https://host:99999",
        "https://host:-1",
        "https://ho st",
        "https://ho\tst",
        "https://ho\nst",
        "https://[::1",
        "https://[host]",
        "https://host\\@other",
        "https://host%2f@",
        "https://a..b",
        f"https://{'a' * 64}.example",
        "https://a\u2044b.example",
        "https://-\u00fc.example",
        "://host",
        "   ",
    ],
)
def test_what_is_no_base_url_is_a_configuration_error(home: Path, text: str) -> None:
    """It is told when a call needs it; a user name or password in it is not repeated."""
    found = settings(home, BACKEND_URL=text)
    with pytest.raises(Configuration, match="the backend URL is not an http or https URL"):
        found.base_url()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--no-such-flag"], "no such option: --no-such-flag"),
        (["--no-such-flag=1"], "no such option: --no-such-flag"),
        (["words"], "no such option: words"),
        (["--home", "somewhere"], "no such option: --home"),
        (["--max_batch", "5"], "no such option: --max_batch"),
        (["--framing"], "option --framing needs a value"),
        (["--sandbox", "true"], "no such option: true"),
        (["--framing", "xml"], "--framing: expected one of auto, lines, headers"),
        (["--sandbox=maybe"], "--sandbox: expected true or false"),
        (["--max-in-flight", "0"], "--max-in-flight: expected an integer of at least 1"),
        (["--max-batch", "-5"], "--max-batch: expected an integer of at least 1"),
        (["--drain-seconds=-1"], "--drain-seconds: expected a number from 0 to 1000000"),
        (["--drain-seconds=nan"], "--drain-seconds: expected a number from 0 to 1000000"),
        (["--drain-seconds=inf"], "--drain-seconds: expected a number from 0 to 1000000"),
        (["--log-level", "loud"], "--log-level: expected one of error, warning, info, debug"),
    ],
    ids=str,
)
def test_flags_that_are_off_are_a_usage_error(home: Path, words: list[str], problem: str) -> None:
    """The text says how."""
    with pytest.raises(UsageError) as caught:
        settings(home, *words)
    assert str(caught.value) == problem


@pytest.mark.parametrize("words", [["--max-batch", "many"], ["--max-message-bytes=1.5"], ["--timeout-seconds", "x"]])
def test_a_number_that_is_none_is_a_usage_error(home: Path, words: list[str]) -> None:
    """And names the flag."""
    with pytest.raises(UsageError, match=words[0].partition("=")[0]):
        settings(home, *words)


def test_the_last_of_two_flags_counts(home: Path) -> None:
    """So an alias of a shell can be overridden."""
    assert settings(home, "--max-batch", "1", "--max-batch=2").max_batch == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OPENHUMAN_FRAMING", "xml"),
        ("OPENHUMAN_SANDBOX", "maybe"),
        ("OPENHUMAN_MAX_IN_FLIGHT", "0"),
        ("OPENHUMAN_DRAIN_SECONDS", "soon"),
    ],
)
def test_a_variable_that_is_off_is_named(home: Path, name: str, text: str) -> None:
    """It is an error of configuration."""
    with pytest.raises(Configuration, match=name):
        settings(home, **{name: text})


def test_patterns_are_a_list_or_a_text_in_the_config_file(home: Path) -> None:
    """A list is how TOML says it, a text how flags and the environment do."""
    found = settings(
        home, config='allow = ["team_*", "openhuman.billing_get_*"]\ndeny = "team_leave_team, team_delete_*"'
    )
    assert found.allow == ("team_*", "billing_get_*")
    assert found.deny == ("team_leave_team", "team_delete_*")


@pytest.mark.parametrize(
    "config",
    [
        pytest.param("= no TOML", id="no TOML"),
        pytest.param("unknown_key = 1", id="an unknown key"),
        pytest.param("[section]\nmax_batch = 1", id="a section"),
        pytest.param("home = '/tmp'", id="what is no setting"),
        pytest.param("token = 'x'", id="a credential"),
        pytest.param("max_batch = 'many'", id="a text for a number"),
        pytest.param("max_batch = 1.5", id="a fraction for a count"),
        pytest.param("max_batch = true", id="a flag for a count"),
        pytest.param("sandbox = 'maybe'", id="a text for a flag"),
        pytest.param("framing = ['lines']", id="an array"),
        pytest.param("allow = []", id="an empty list of patterns"),
        pytest.param("allow = ['two words']", id="a list of what is no pattern"),
        pytest.param("drain_seconds = inf", id="infinity"),
    ],
)
def test_a_config_file_that_is_off_is_named(home: Path, config: str) -> None:
    """Also where a flag would override what is off."""
    with pytest.raises(Configuration) as caught:
        settings(home, "--max-batch", "5", config=config)
    assert str(home / "core" / "config.toml") in caught.value.message


@pytest.mark.parametrize(
    ("words", "environ", "config", "told"),
    [
        pytest.param(["--no-such-flag"], {}, None, (2, "--no-such-flag"), id="an unknown flag"),
        pytest.param(["--framing"], {}, None, (2, "--framing"), id="a flag without its value"),
        pytest.param(["--max-batch", "x"], {}, None, (2, "--max-batch"), id="a flag's value"),
        pytest.param([], {"OPENHUMAN_MAX_BATCH": "x"}, None, (1, "OPENHUMAN_MAX_BATCH"), id="a variable"),
        pytest.param([], {}, b"no TOML", (1, "core/config.toml"), id="a file that does not parse"),
        pytest.param([], {}, b"\xff", (1, "core/config.toml"), id="a file that is no text"),
        pytest.param([], {}, b"unknown_key = 1", (1, "core/config.toml"), id="an unknown key"),
        pytest.param([], {"OPENHUMAN_DOTENV_PATH": "/no/such/file"}, None, (1, "/no/such/file"), id="a named .env"),
    ],
)
def test_the_daemon_does_not_start_with_settings_that_are_off(
    home: Path, words: list[str], environ: Mapping[str, str], config: bytes | None, told: tuple[int, str]
) -> None:
    """2 for usage, 1 for the rest; stderr names what to mend, and nothing is answered."""
    if config is not None:
        (home / "core").mkdir(parents=True)
        (home / "core" / "config.toml").write_bytes(config)
    done = run(home, "serve", *words, stdin=b'{"jsonrpc":"2.0","id":1,"method":"core.ping"}', **environ)
    assert (done.returncode, done.stdout) == (told[0], b"")
    assert told[1] in done.stderr.decode()
    assert b"Traceback" not in done.stderr


DOTENV = """
OPENHUMAN_MAX_BATCH=7
BACKEND_URL=https://elsewhere.example
VITE_BACKEND_URL=https://elsewhere.example
OPENHUMAN_BACKEND_URL=https://elsewhere.example
OPENHUMAN_APP_ENV=staging
VITE_OPENHUMAN_APP_ENV=staging
OPENHUMAN_WORKSPACE=/elsewhere
OPENHUMAN_SANDBOX=true
OPENHUMAN_API_KEY=key
OPENHUMAN_TOKEN=token
OPENHUMAN_UNKNOWN=1
"""
# What a named one may say too, and a found one may not.
GUARDED = """
OPENHUMAN_PROFILE=other
OPENHUMAN_CREDENTIAL_STORE=keychain
OPENHUMAN_EXPECT_USER=u
OPENHUMAN_EXPECT_TEAM=t
OPENHUMAN_AUDIT=/elsewhere/audit
OPENHUMAN_IDEMPOTENCY_HONOURED=true
"""


@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_dotenv_that_was_found_may_redirect_nothing(home: Path, elsewhere: Path, up: int) -> None:
    """A checked-out repository must not get hold of a key; what it may say is how the daemon behaves."""
    [elsewhere, *elsewhere.parents][up].joinpath(".env").write_text(DOTENV + GUARDED)
    assert settings(home) == dataclasses.replace(Settings(backend_url=PRODUCTION, home=home), max_batch=7)


def test_a_dotenv_that_was_found_loosens_no_limit(home: Path, elsewhere: Path) -> None:
    """It may set one where the config file has none."""
    (elsewhere / ".env").write_text("OPENHUMAN_READ_ONLY=false\nOPENHUMAN_MAX_SPEND_USD=999\nOPENHUMAN_NO_SECRETS=1\n")
    (home / "core").mkdir(parents=True)
    (home / "core" / "config.toml").write_text('read_only = true\nmax_spend_usd = "5"\n')
    found = settings(home)
    assert (found.read_only, found.max_spend_usd, found.no_secrets) == (True, Decimal(5), True)


def test_a_value_in_a_dotenv_that_was_found_is_told_with_its_file(home: Path) -> None:
    """Nobody named it, so who reads of the variable alone looks for it in vain; the log shortens the path."""
    home.mkdir()
    (home / ".env").write_text("OPENHUMAN_MAX_BATCH=x\n")
    daemon, command = run(home, "serve"), run(home, "billing", "get-balance", "--json")
    told = "OPENHUMAN_MAX_BATCH: expected an integer of at least 1"
    assert (daemon.returncode, json.loads(daemon.stderr)["message"]) == (1, f"~/.env: {told}")
    assert (command.returncode, json.loads(command.stderr)["error"]["message"]) == (2, f"{home}/.env: {told}")


def test_the_nearest_dotenv_counts_alone(home: Path, elsewhere: Path) -> None:
    """Those above it are not read."""
    (elsewhere / ".env").write_text("OPENHUMAN_MAX_BATCH=8")
    (elsewhere.parent / ".env").write_text("OPENHUMAN_MAX_BATCH=9\nOPENHUMAN_FRAMING=lines")
    found = settings(home)
    assert (found.max_batch, found.framing) == (8, "auto")


def test_a_dotenv_that_was_named_may_set_everything(tmp_path: Path, elsewhere: Path) -> None:
    """The one that would be found is not read then."""
    (elsewhere / ".env").write_text("OPENHUMAN_FRAMING=lines")
    named = tmp_path / "named"
    named.write_text(DOTENV.replace("OPENHUMAN_SANDBOX=true", ""))
    assert load({}, {"OPENHUMAN_DOTENV_PATH": str(named)}) == Settings(
        max_batch=7, backend_url="https://elsewhere.example", home=Path("/elsewhere"), api_key="key", token="token"
    )


def test_a_dotenv_overrides_nothing_that_is_set(home: Path, tmp_path: Path) -> None:
    """Neither flags nor variables."""
    named = tmp_path / "named"
    named.write_text(DOTENV.replace("OPENHUMAN_SANDBOX=true", ""))
    variables = {"OPENHUMAN_DOTENV_PATH": str(named), "BACKEND_URL": "https://ours", "OPENHUMAN_TOKEN": "ours"}
    found = settings(home, "--max-batch", "3", **variables)
    assert (found.max_batch, found.base_url(), found.token, found.home) == (3, "https://ours", "ours", home)


@pytest.mark.parametrize("content", [None, b"\xff=\xff"], ids=["absent", "no text"])
def test_a_dotenv_that_was_named_must_load(home: Path, tmp_path: Path, content: bytes | None) -> None:
    """The error names it."""
    named = tmp_path / "named"
    if content is not None:
        named.write_bytes(content)
    with pytest.raises(Configuration, match=str(named)):
        settings(home, OPENHUMAN_DOTENV_PATH=str(named))


@pytest.mark.parametrize("place", ["file", "directory"])
def test_a_dotenv_that_was_found_and_is_none_is_passed_over(home: Path, elsewhere: Path, place: str) -> None:
    """It belongs to whoever wrote the repository, and only one that was named must load."""
    if place == "directory":
        (elsewhere / ".env").mkdir()
    else:
        (elsewhere / ".env").write_bytes(b"\xff\xfe=\xff")
    assert settings(home) == Settings(backend_url=PRODUCTION, home=home)


def test_the_sandbox_knows_no_real_credential(home: Path) -> None:
    """What the environment holds is for the hosted API."""
    found = settings(home, "--sandbox", OPENHUMAN_API_KEY="key", OPENHUMAN_TOKEN="token", BACKEND_URL="https://x")
    assert (found.api_key, found.token, found.core) == (None, None, home / "core" / "sandbox")


def test_no_secret_shows_where_settings_are_printed(home: Path) -> None:
    """A secret is left out of the object's text."""
    assert "canary" not in repr(settings(home, OPENHUMAN_API_KEY=" canary\n", OPENHUMAN_TOKEN="canary"))
    assert settings(home, OPENHUMAN_API_KEY=" canary\n", OPENHUMAN_TOKEN="  ").api_key == "canary"


def test_a_home_beside_a_directory_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative one then names nothing."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    with pytest.raises(Configuration, match="there is no home directory"):
        home_of({"OPENHUMAN_WORKSPACE": "home"})


@pytest.mark.parametrize("kind", ["pipe", "link to nothing", "directory"])
def test_a_config_file_that_is_none_is_told(tmp_path: Path, kind: str) -> None:
    """To open a pipe would wait for ever, and a limit behind a broken link would be no limit."""
    config = tmp_path / "core/config.toml"
    config.parent.mkdir(mode=0o700)
    if kind == "pipe":
        os.mkfifo(config)
    elif kind == "directory":
        config.mkdir()
    else:
        config.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Configuration, match="is no file"):
        load({}, {"OPENHUMAN_WORKSPACE": str(tmp_path)})


@pytest.mark.parametrize("part", [".", "core", "core/profiles", "core/profiles/work", "core/profiles/work/sandbox"])
def test_a_file_in_the_place_of_the_home_is_told(tmp_path: Path, part: str) -> None:
    """The hint names the variable that says where the home is."""
    file = tmp_path / "home" / part
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    with pytest.raises(Configuration) as told:
        load({}, {"OPENHUMAN_WORKSPACE": str(tmp_path / "home"), "OPENHUMAN_PROFILE": "work"})
    hint = "Name the directory itself with OPENHUMAN_WORKSPACE."
    assert (told.value.message, told.value.facts) == (f"{file} is no directory", {"hint": hint})
