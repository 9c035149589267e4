"""The stored credentials of one profile: a sealed file that many processes may use at the same time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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


class CredentialStore:
    """`credentials.json` in a directory: sealed, replaced whole, and read again whenever it has changed.

    The file says where the key that opens it is kept: in `vault.key` beside it, or in the system's keychain. `keep_key`
    says where that of a new one goes; `auto` takes the keychain where one works, and `file` never touches it.

    Every method raises `Configuration` when the file cannot be read, written or understood; it is left as it is then.
    """

    def __init__(self, directory: Path, keep_key: CredentialStoreKind) -> None:
        self.path = directory / "credentials.json"
        self._keep_key = keep_key
        self._seen: tuple[Stamp | None, Entries] = (None, ())  # replaced whole: threads share it
        self._vault: Vault | None = None

    def get(self, kind: Kind, base_url: str) -> Entry | None:
        """Give what is stored of a kind for a base URL."""
        return next((entry for entry in self.entries() if entry.slot == (kind, base_url)), None)

    def put(self, new: Entry) -> None:
        """Keep an entry in place of the one in its slot."""
        self._change(lambda entries: (*(entry for entry in entries if entry.slot != new.slot), new), LOCK_SECONDS)

    def remove(self, is_unwanted: Callable[[Entry], bool], *, wait_seconds: float = LOCK_SECONDS) -> list[Kind]:
        """Forget entries; says of which kinds there were any. It waits so long for who else writes."""
        if not any(map(is_unwanted, self.entries())):
            return []
        before, after = self._change(
            lambda entries: tuple(entry for entry in entries if not is_unwanted(entry)), wait_seconds
        )
        return [kind for kind in KINDS if any(entry.kind == kind for entry in before if entry not in after)]

    def key_in(self) -> KeyPlace | None:
        """Say where the key of the stored credentials is kept; None where nothing is stored."""
        return self._vault.key_in if self.entries() and self._vault else None

    def has_changed(self) -> bool:
        """Tell whether the file is another one than was read last: to read it may take a while."""
        try:
            return self._stamp() != self._seen[0]
        except OSError:
            return False

    def entries(self) -> Entries:
        """Give what is stored."""
        try:
            stamp = self._stamp()
            seen, entries = self._seen
            if stamp != seen:
                entries = self._opened(json.loads(read_private(self.path)))
                self._seen = (stamp, entries)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            raise Configuration(
                f"the credential store {self.path} cannot be read", hint="Move the file away and sign in again."
            ) from problem
        return entries

    def _stamp(self) -> Stamp:
        found = self.path.lstat()  # a link to nothing is no missing store
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)

    def _opened(self, content: dict[str, Any]) -> Entries:
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
        sealed = content["sealed"].encode()
        items = json.loads(self._vault_with(content["keyIn"]).unseal(sealed))
        return tuple(map(_from_json, items))

    def _change(self, change: Callable[[Entries], Entries], wait_seconds: float) -> tuple[Entries, Entries]:
        """Write what `change` makes of the entries, if that is anything else, while no other process does.

        Gives the entries before and after.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 - costly to import, and most processes only read

        kept = self._seen, self._vault
        try:
            make_private_directory(self.path.parent)
            with FileLock(self.path.with_suffix(".lock"), timeout=wait_seconds, mode=0o600):
                self._seen, self._vault = (None, ()), None  # the key may have gone since it was read
                before = self.entries()
                after = change(before)
                if after != before:
                    self._write(after)
        except Configuration:
            self._seen, self._vault = kept  # what was read before can still be used
            raise
        except Timeout as problem:
            raise Configuration(f"the credential store {self.path} is being written by another process") from problem
        except OSError as problem:
            raise Configuration(
                f"the credential store {self.path} cannot be written",
                hint="Make the directory writable, or set OPENHUMAN_WORKSPACE to one that is.",
            ) from problem
        return before, after

    def _write(self, entries: Entries) -> None:
        data = json.dumps([_to_json(entry) for entry in entries]).encode()
        key_in: KeyPlace = "keychain" if self._asks_keychain() else "file"
        try:
            sealed = self._vault_with(key_in).seal(data)
        except Configuration:
            if self._keep_key != "auto" or key_in == "file":
                raise
            key_in = "file"  # no keychain that works
            sealed = self._vault_with(key_in).seal(data)
        content = {"version": STORE_VERSION, "keyIn": key_in, "sealed": sealed.decode()}
        write_private(self.path, json.dumps(content).encode(), replace=True)

    def _asks_keychain(self) -> bool:
        return self._keep_key == "keychain" or (self._keep_key == "auto" and may_be_asked())

    def _vault_with(self, key_in: KeyPlace) -> Vault:
        """Give the vault whose key is kept there; it is kept, and with it the key."""
        from openhuman_core.backend.vault import Vault  # noqa: PLC0415 - see above

        if self._vault is None or self._vault.key_in != key_in:
            self._vault = Vault(self.path.parent, key_in)
        return self._vault


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
