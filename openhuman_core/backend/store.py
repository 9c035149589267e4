"""The stored credentials of one profile: a sealed file that many processes may use at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import SecretStr

from openhuman_core.backend.keychain import may_be_asked
from openhuman_core.errors import Configuration
from openhuman_core.files import make_private_directory, read_private, write_private
from openhuman_core.settings import CredentialStoreKind

if TYPE_CHECKING:  # brings cryptography, and a credential of the environment needs none
    from openhuman_core.backend.vault import KeyPlace, Vault

Kind = Literal["session", "api-key"]
KINDS: tuple[Kind, ...] = ("session", "api-key")

# The first version held the secrets in clear: it is refused until it is moved away. The second held one entry of a
# kind, and is read; a program that knows no other must not write this one.
STORE_VERSION, READABLE_VERSIONS = 3, (2, 3)
LOCK_SECONDS = 15.0  # whoever holds the lock may wait for a keychain that does not answer


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored credential, the base URL it belongs to, and what is known of its user.

    `verified` says that the hosted API told the user's id; else it is what the caller said.
    """

    kind: Kind
    secret: SecretStr
    base_url: str
    updated_at: str
    user_id: str | None = None
    user: dict[str, Any] | None = None
    verified: bool = False

    @property
    def slot(self) -> tuple[Kind, str]:
        """What there is one entry for: the kind and the base URL."""
        return self.kind, self.base_url


Entries = tuple[Entry, ...]
Stamp = tuple[int, int, int, int]  # tells one state of the file from another


class _State(NamedTuple):
    """What the file holds, and the vault that opens it; without a file nothing."""

    stamp: Stamp | None = None
    entries: Entries = ()
    vault: Vault | None = None


class CredentialStore:
    """`credentials.json` in a directory: sealed, replaced whole, and read again whenever it has changed.

    The file says where the key that opens it is kept: in `vault.key` beside it, or in the system's keychain. `keep_key`
    says where that of a new one goes; `auto` takes the keychain where one works, and `file` never touches it.

    Every method raises `Configuration` when the file cannot be read, written or understood; it is left as it is then,
    and what was read before is used on. A change is made in values of its own and shown whole at its end: it may wait
    for a keychain, and nobody who reads waits with it. Whoever first acquires its `decision` decides whether it is
    written: the change, when all is ready, or who gives it up.
    """

    def __init__(self, directory: Path, keep_key: CredentialStoreKind) -> None:
        self.path = directory / "credentials.json"
        self._keep_key = keep_key
        self._state = _State()  # replaced whole: threads share it

    def get(self, kind: Kind, base_url: str) -> Entry | None:
        """Give what is stored of a kind for a base URL."""
        return next((entry for entry in self.entries() if entry.slot == (kind, base_url)), None)

    def put(self, new: Entry, decision: Lock | None = None) -> None:
        """Keep an entry in place of the one in its slot."""
        self._change(lambda entries: (*(entry for entry in entries if entry.slot != new.slot), new), decision)

    def remove(self, is_unwanted: Callable[[Entry], bool], decision: Lock | None = None) -> list[Kind]:
        """Forget entries; says of which kinds there were any."""
        if not any(map(is_unwanted, self.entries())):
            return []
        before, after = self._change(lambda found: tuple(entry for entry in found if not is_unwanted(entry)), decision)
        return [kind for kind in KINDS if any(entry.kind == kind for entry in before if entry not in after)]

    def key_in(self) -> KeyPlace | None:
        """Say where the key of the stored credentials is kept; None where nothing is stored."""
        state = self._read(self._state)
        return state.vault.key_in if state.entries and state.vault else None

    def has_changed(self) -> bool:
        """Tell whether the file is another one than was read last: to read it may take a while."""
        try:
            return self._stamp() != self._state.stamp
        except OSError:
            return False

    def entries(self) -> Entries:
        """Give what is stored."""
        state = self._state = self._read(self._state)
        return state.entries

    def _read(self, known: _State) -> _State:
        """Give what is stored: what is known, as long as that is so."""
        try:
            stamp = self._stamp()
            if stamp == known.stamp:
                return known
            return self._opened(stamp, json.loads(read_private(self.path)), known.vault)
        except FileNotFoundError:
            return _State()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            raise Configuration(
                f"the credential store {self.path} cannot be read", hint="Move the file away and sign in again."
            ) from problem

    def _stamp(self) -> Stamp:
        found = self.path.lstat()  # a link to nothing is no missing store
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)

    def _opened(self, stamp: Stamp, content: dict[str, Any], vault: Vault | None) -> _State:
        version = content["version"]
        if isinstance(version, int) and version > STORE_VERSION:
            raise Configuration(
                f"the credential store {self.path} was written by a newer version of this program",
                hint="Use that version, or another profile.",
            )
        if version not in READABLE_VERSIONS or content["keyIn"] not in ("file", "keychain"):
            raise ValueError("a store of another kind")
        if content["keyIn"] == "keychain" and not self._asks_keychain():
            raise Configuration(
                f"the key of the credential store {self.path} is in the system keychain, which is not to be asked here",
                hint="Set OPENHUMAN_API_KEY or OPENHUMAN_TOKEN, or sign in under another profile.",
            )
        sealed, opener = content["sealed"].encode(), self._vault(content["keyIn"], vault)
        try:
            items = json.loads(opener.unseal(sealed))
        except Configuration:
            if opener is not vault:
                raise
            opener = self._vault(content["keyIn"], None)  # another process may have made a new key meanwhile
            items = json.loads(opener.unseal(sealed))
        return _State(stamp, tuple(map(_from_json, items)), opener)

    def _change(self, change: Callable[[Entries], Entries], decision: Lock | None) -> tuple[Entries, Entries]:
        """Write what `change` makes of the entries, if that is anything else, while no other process does.

        Gives the entries before and after: the same for a change that was given up.
        """
        from filelock import FileLock, Timeout  # costly to import, and most processes only read

        decision = decision or Lock()
        try:
            make_private_directory(self.path.parent)
            lock = FileLock(self.path.with_suffix(".lock"), mode=0o600)
            with lock.acquire(LOCK_SECONDS, cancel_check=decision.locked):
                state = self._read(_State())  # the key may have gone since it was read
                before, after = state.entries, change(state.entries)
                if after != before:
                    vault, content = self._sealed(after, state.vault)
                    if not decision.acquire(blocking=False):
                        return before, before
                    write_private(self.path, content, replace=True)
                    state = _State(self._stamp(), after, vault)
                self._state = state
        except Timeout as problem:
            raise Configuration(f"the credential store {self.path} is being written by another process") from problem
        except OSError as problem:
            raise Configuration(
                f"the credential store {self.path} cannot be written",
                hint="Make the directory writable, or set OPENHUMAN_WORKSPACE to one that is.",
            ) from problem
        return before, after

    def _sealed(self, entries: Entries, vault: Vault | None) -> tuple[Vault, bytes]:
        """Give what the file is to hold, and the vault that opens it."""
        data = json.dumps([_to_json(entry) for entry in entries]).encode()
        vault = self._vault("keychain" if self._asks_keychain() else "file", vault)
        try:
            sealed = vault.seal(data)
        except Configuration:
            if self._keep_key != "auto" or vault.key_in == "file":
                raise
            vault = self._vault("file", None)  # no keychain that works
            sealed = vault.seal(data)
        content = {"version": STORE_VERSION, "keyIn": vault.key_in, "sealed": sealed.decode()}
        return vault, json.dumps(content).encode()

    def _asks_keychain(self) -> bool:
        return self._keep_key == "keychain" or (self._keep_key == "auto" and may_be_asked())

    def _vault(self, key_in: KeyPlace, known: Vault | None) -> Vault:
        """Give the vault whose key is kept there: the known one, which has read it, where it is that."""
        from openhuman_core.backend.vault import Vault

        return known if known and known.key_in == key_in else Vault(self.path.parent, key_in)


@lru_cache(maxsize=4)  # each call asks
def is_sendable(secret: str) -> bool:
    """Tell whether a header can carry a secret: visible ASCII, no spaces."""
    return all("!" <= character <= "~" for character in secret)


def _from_json(item: dict[str, Any]) -> Entry:
    secret, base_url, user_id, user = (item[name] for name in ("secret", "baseUrl", "userId", "user"))
    if item["kind"] not in KINDS or not secret or not is_sendable(secret) or not isinstance(base_url, str):
        raise ValueError("no credential, or one that no header can carry")
    if not isinstance(user_id, str | None) or not isinstance(user, dict | None):
        raise TypeError("no user")
    return Entry(
        kind=item["kind"],
        secret=SecretStr(secret),
        base_url=base_url,
        updated_at=item["updatedAt"],
        user_id=user_id,
        user=user,
        verified=item.get("verified") is True,
    )


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "secret": entry.secret.get_secret_value(),
        "baseUrl": entry.base_url,
        "updatedAt": entry.updated_at,
        "userId": entry.user_id,
        "user": entry.user,
        "verified": entry.verified,
    }
