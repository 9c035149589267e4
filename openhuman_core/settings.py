"""Flags, environment, `core/config.toml` and defaults, in that order, as one frozen object.

Each field of `Settings` with a `help` is a setting: `max_in_flight` is the flag `--max-in-flight`, the variable
`OPENHUMAN_MAX_IN_FLIGHT` and the key `max_in_flight`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from openhuman_core import files, sources, values
from openhuman_core.errors import Configuration

if TYPE_CHECKING:
    from decimal import Decimal


PRODUCTION = "https://api.tinyhumans.ai"
STAGING = "https://staging-api.tinyhumans.ai"
# Never sent anywhere: a name of the loopback range (RFC 6761) for the sandbox inside this process.
SANDBOX = "http://sandbox.localhost"
# What no file that was merely found may say: where calls go and as whom, what is written, what may be sent twice.
GUARDED = (
    "backend_url",
    "sandbox",
    "idempotency_honoured",
    "profile",
    "credential_store",
    "audit",
    "expect_user",
    "expect_team",
)
DEFAULT_PROFILE = "default"
CredentialStoreKind = Literal["auto", "keychain", "file"]


def _setting(default: Any, parse: Callable[[str], Any], help_text: str, *variables: str) -> Any:
    """Declare a setting; `variables` replace `OPENHUMAN_<NAME>`, and the first of them that is not empty counts."""
    return field(default=default, metadata={"parse": parse, "help": help_text, "variables": variables})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; seconds and bytes where the name says so."""

    framing: str = _setting(
        "auto", values.one_of("auto", "lines", "headers"), "How frames are told apart; auto goes by the first bytes."
    )
    sandbox: bool = _setting(
        default=False,
        parse=values.flag,
        help_text="Serve an embedded stand-in for the hosted API instead of the real one.",
    )
    max_in_flight: int = _setting(100, values.count, "How many calls run at the same time.")
    max_message_bytes: int = _setting(
        16 * 2**20, values.count, "The longest frame, and the longest answer that is read."
    )
    max_batch: int = _setting(1000, values.count, "How many calls one batch may hold.")
    drain_seconds: float = _setting(4.0, values.number, "How long accepted calls may take once a stop was asked for.")
    connect_timeout_seconds: float = _setting(15.0, values.number, "How long connecting to the hosted API may take.")
    timeout_seconds: float = _setting(120.0, values.number, "How long one call may take in all.")
    no_retries: bool = _setting(default=False, parse=values.flag, help_text="Try no call a second time.")
    read_only: bool = _setting(default=False, parse=values.flag, help_text="Refuse every method that writes.")
    no_secrets: bool = _setting(default=False, parse=values.flag, help_text="Refuse the methods that return secrets.")
    allow: tuple[str, ...] = _setting(
        (), values.patterns, "Refuse all methods but these, such as team_*,billing_get_*."
    )
    deny: tuple[str, ...] = _setting((), values.patterns, "Refuse these methods, such as team_delete_team.")
    max_spend_usd: Decimal | None = _setting(  # noqa: RUF009 - as those above
        default=None, parse=values.amount, help_text="How many USD of top-ups this process may start."
    )
    idempotency_honoured: bool = _setting(
        default=False,
        parse=values.flag,
        help_text="The hosted API takes an Idempotency-Key once, so keys may be sent again.",
    )
    parent_pid: int | None = _setting(
        default=None,
        parse=values.count,
        help_text="Process whose end ends this one, as the end of input does not always.",
    )
    ready: bool = _setting(
        default=False, parse=values.flag, help_text="Write one JSON line on stderr when calls can be answered."
    )
    log_level: str = _setting(
        "info", values.one_of("error", "warning", "info", "debug"), "The least important records that are logged."
    )
    backend_url: str = _setting(
        PRODUCTION, str, "Where the hosted API is; scheme, host and port count.", "BACKEND_URL", "VITE_BACKEND_URL"
    )
    profile: str = _setting(
        DEFAULT_PROFILE, values.profile_name, "The profile: each has its own credential, base URL, journal and limits."
    )
    credential_store: CredentialStoreKind = _setting(  # noqa: RUF009 - as those above
        "auto", values.one_of("auto", "keychain", "file"), "Where the key that opens the stored credentials is kept."
    )
    expect_user: str | None = _setting(None, values.text, "Write only as the user with this id.")
    expect_team: str | None = _setting(None, values.text, "Write only in the team with this id.")
    audit: Path | None = _setting(  # noqa: RUF009 - as those above
        default=None, parse=values.path, help_text="File that gets a JSON line for each write, before it is answered."
    )
    home: Path = Path()
    api_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def core(self) -> Path:
        """The only directory that this program writes to."""
        directory = _directory(self.home, self.profile)
        return directory / "sandbox" if self.sandbox else directory

    def base_url(self) -> str:
        """Reduce the backend URL to scheme, host and port; raises `Configuration` when it is none."""
        if self.sandbox:
            return SANDBOX
        text = self.backend_url.strip()
        problem = Configuration(
            "the backend URL is not an http or https URL", hint="Set BACKEND_URL to something like https://host:port."
        )
        if re.search(r"[\s\\\x00-\x1f\x7f]", text):
            raise problem
        try:
            has_scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
            parts = urlsplit(text if has_scheme else f"https://{text.removeprefix('//')}")
            port = parts.port
        except ValueError as cause:
            raise problem from cause
        host = parts.hostname
        if parts.scheme not in ("http", "https") or not host or not _is_host(host):
            raise problem
        default = {"http": 80, "https": 443}[parts.scheme]
        name = f"[{host}]" if ":" in host else host.removesuffix(".")
        return f"{parts.scheme}://{name}{'' if port in (None, default) else f':{port}'}"


def _is_host(host: str) -> bool:
    """Tell whether a host is an address of IPv6, or a name whose parts a resolver can spell (RFC 1035, RFC 5891)."""
    if ":" in host:
        return re.fullmatch(r"[^\s/?#@\\%]+", host) is not None
    if not host.isascii():
        import idna  # few names need it

        try:
            host = idna.encode(host).decode()
        except idna.IDNAError:
            return False
    return all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", part) for part in host.removesuffix(".").split("."))


FLAGS = {item.name.replace("_", "-"): item for item in dataclasses.fields(Settings) if "help" in item.metadata}


class UsageError(Exception):
    """The command line's words are off; the text says how."""


def parse_flags(words: list[str]) -> dict[str, str]:
    """Read `--name value`, `--name=value` and bare `--name` for flags that are true or false; raises `UsageError`."""
    given: dict[str, str] = {}
    rest = list(words)
    while rest:
        name, has_value, value = rest.pop(0).partition("=")
        if not name.startswith("--") or name[2:] not in FLAGS:
            raise UsageError(f"no such option: {name}")
        item = FLAGS[name[2:]]
        if not has_value and item.metadata["parse"] is values.flag:
            value = "true"
        elif not has_value:
            if not rest:
                raise UsageError(f"option {name} needs a value")
            value = rest.pop(0)
        joined = item.name in given and item.metadata["parse"] is values.patterns
        given[item.name] = f"{given[item.name]},{value}" if joined else value  # of all others the last counts
    return given


def load(flags: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Gather the settings; `flags` come from `parse_flags`.

    Raises `UsageError` for a flag's value, `Configuration` for a variable's, and for a file that cannot be read.
    """
    dotenv, nearby = sources.found_dotenv(environ)
    environ = {**sources.named_dotenv(environ), **environ}
    home = home_of(environ)
    directory = _directory(home, profile_of(flags, environ))
    _check_home(home, directory)
    found: dict[str, Any] = {"home": home, "backend_url": STAGING if _is_staging(environ) else PRODUCTION}
    # A file that was merely found overrides nothing that somebody set, a limit in the config file least of all.
    found |= _all_said({}, _harmless(nearby), f"{dotenv}: ")
    found |= {**_config_file(directory / "config.toml"), **_all_said(flags, environ)}
    if found.get("sandbox"):  # real credentials are no business of the sandbox, nor is a person's keychain
        found["credential_store"] = "file"
    else:
        found["api_key"] = environ.get("OPENHUMAN_API_KEY", "").strip() or None
        found["token"] = environ.get("OPENHUMAN_TOKEN", "").strip() or None
    return Settings(**found)


def profile_of(flags: Mapping[str, str], environ: Mapping[str, str]) -> str:
    """Give the profile's name; raises as `load` does."""
    return str(_said("profile", flags, environ) or DEFAULT_PROFILE)


def _all_said(flags: Mapping[str, str], environ: Mapping[str, str], where: str = "") -> dict[str, Any]:
    said = ((item.name, _said(flag, flags, environ, where)) for flag, item in FLAGS.items())
    return {name: value for name, value in said if value is not None}


def _harmless(variables: Mapping[str, str]) -> dict[str, str]:
    """Leave out what a checked-out repository must not say: it may order how a process behaves, no more."""
    allowed = {f"OPENHUMAN_{item.name.upper()}" for item in FLAGS.values() if item.name not in GUARDED}
    return {name: value for name, value in variables.items() if name in allowed}


def _said(flag: str, flags: Mapping[str, str], environ: Mapping[str, str], where: str = "") -> Any:
    """Give the value of a setting by its flag, else by the environment, told with `where` before it; else None."""
    item = FLAGS[flag]
    given = flags.get(item.name)
    if given or (given is not None and item.name != "backend_url"):  # an empty limit is no limit that was meant
        return _parse(item, given, f"--{flag}", UsageError)
    source = next((variable for variable in _variables_of(item) if environ.get(variable)), None)
    return _parse(item, environ[source], f"{where}{source}") if source else None


def _directory(home: Path, profile: str) -> Path:
    return home / "core" if profile == DEFAULT_PROFILE else home / "core" / "profiles" / profile


def _check_home(home: Path, directory: Path) -> None:
    """Raise `Configuration` where a part of the home is a link, a file or another user's, or others may write to it.

    What is kept would lie somewhere else, and whoever writes `config.toml` says where a credential goes. Where nobody
    else may enter `core/`, the modes of what is in it do not matter here.
    """
    parts = [path for path in (directory, *directory.parents) if home in path.parents]
    config = directory / "config.toml"
    try:
        for path in (home, *parts, directory / "sandbox"):
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                found = f"a link to {path.resolve()}" if path.is_symlink() else "no directory"
                raise Configuration(f"{path} is {found}", hint="Name the directory itself with OPENHUMAN_WORKSPACE.")
        if os.path.lexists(config) and not config.is_file():  # to open a pipe would wait for ever
            raise Configuration(f"{config} is no file")
        if (home / "core").exists() and not files.is_closed(home / "core"):
            for path in filter(Path.exists, (*parts, config)):
                files.check_own(path)
    except OSError as problem:
        raise Configuration(f"the home {home} cannot be read") from problem


def _variables_of(item: dataclasses.Field[Any]) -> tuple[str, ...]:
    return item.metadata["variables"] or (f"OPENHUMAN_{item.name.upper()}",)


def _parse(
    item: dataclasses.Field[Any], text: str, source: str, error: Callable[[str], Exception] = Configuration
) -> Any:
    try:
        return item.metadata["parse"](text)
    except ValueError as problem:
        raise error(f"{source}: {problem}") from problem


def home_of(environ: Mapping[str, str]) -> Path:
    """Give the home, which may not exist yet; raises `Configuration` where there can be none."""
    named = environ.get("OPENHUMAN_WORKSPACE")
    try:
        if named:
            return Path(os.path.normpath(Path(named).expanduser().absolute()))
        return Path.home() / (".openhuman-staging" if _is_staging(environ) else ".openhuman")
    except (RuntimeError, OSError) as problem:  # nobody's, or the current one is gone and the name relative to it
        raise Configuration("there is no home directory", hint="Set OPENHUMAN_WORKSPACE to a directory.") from problem


def _is_staging(environ: Mapping[str, str]) -> bool:
    return (environ.get("OPENHUMAN_APP_ENV") or environ.get("VITE_OPENHUMAN_APP_ENV")) == "staging"


def _config_file(path: Path) -> dict[str, Any]:
    """Read the config file; its keys are the settings' names, and `api_url` for the backend URL."""
    content = sources.toml(path)
    if "api_url" in content:
        content["backend_url"] = content.pop("api_url")
    fields = {item.name: item for item in FLAGS.values() if item.name != "profile"}  # the profile is where the file is
    unknown = sorted(set(content) - set(fields))
    if unknown:
        raise Configuration(f"{path}: unknown setting {unknown[0]}")
    return {
        name: _parse(fields[name], values.as_text(value, fields[name].metadata["parse"]), f"{path}: {name}")
        for name, value in content.items()
        if value != "" or name != "backend_url"
    }
