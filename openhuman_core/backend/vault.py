"""What this program writes down about an account is sealed with a key that is kept apart from it."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from openhuman_core.backend.keychain import KeychainEntry
from openhuman_core.errors import Configuration
from openhuman_core.files import read_private, write_private

_NAMES = b"names"
KeyPlace = Literal["file", "keychain"]


class Vault:
    """Seals bytes with a key in `<directory>/vault.key`, or in the keychain under the directory's name.

    The key is made when something is first sealed or hidden, unless a file of the directory holds what it sealed: a new
    one would open nothing of it. Every method raises `Configuration` when it is missing, cannot be read or made, or is
    readable by others.
    """

    def __init__(self, directory: Path, key_in: KeyPlace = "file") -> None:
        self.key_in = key_in
        self.path = directory / "vault.key"
        self._entry = KeychainEntry(str(directory.resolve()))
        self._known: bytes | None = None  # a cached property lets all vaults wait for one keychain, before Python 3.12

    def seal(self, data: bytes) -> bytes:
        """Encrypt and authenticate."""
        return Fernet(self._key_to_write).encrypt(data)

    def unseal(self, sealed: bytes) -> bytes:
        """Give back what was sealed; raises `Configuration` where it was sealed with another key."""
        try:
            return Fernet(self._key).decrypt(sealed)
        except InvalidToken as problem:
            raise Configuration(f"what was sealed does not open with the key in {self._where}") from problem

    def hide(self, text: str) -> bytes:
        """Encrypt so that the same text always makes the same bytes, by which it is found again (RFC 5297)."""
        return self._names.encrypt(text.encode(errors="surrogatepass"), [_NAMES])

    def show(self, hidden: bytes) -> str:
        """Give back what was hidden; raises `Configuration` where it was hidden with another key."""
        try:
            return self._names.decrypt(hidden, [_NAMES]).decode(errors="surrogatepass")
        except InvalidTag as problem:
            raise Configuration(f"what was hidden does not open with the key in {self._where}") from problem

    def fingerprint(self, data: bytes) -> str:
        """Give a digest that tells nothing of the data to who has not the key."""
        return hmac.new(self._key_to_write, data, hashlib.sha256).hexdigest()

    @cached_property
    def _names(self) -> AESSIV:
        return AESSIV(hmac.new(self._key_to_write, _NAMES, hashlib.sha512).digest())

    @property
    def _where(self) -> str:
        return str(self.path) if self.key_in == "file" else "the system keychain"

    @property
    def _key_to_write(self) -> bytes:
        with self._failing_as_ours():
            if self._known is None and not self._is_in_use() and self._read() is None:
                self._make()
        return self._key

    def _is_in_use(self) -> bool:
        """Whether the store or the journal beside the key hold what it sealed; the store names a key elsewhere."""
        journal, store = self.path.with_name("journal.db"), self.path.with_name("credentials.json")
        if self.key_in == "keychain":
            return False
        has_journal = journal.exists() and journal.stat().st_size > 0
        return has_journal or (store.exists() and b'"file"' in store.read_bytes())

    @property
    def _key(self) -> bytes:
        with self._failing_as_ours():
            key = self._known or self._read()
            if key is None:
                raise Configuration(
                    f"the key in {self._where} is missing", hint="Bring it back; nothing can open what it sealed."
                )
            Fernet(key)
        self._known = key
        return key

    def _read(self) -> bytes | None:
        if self.key_in == "file":
            return read_private(self.path) if os.path.lexists(self.path) else None
        key = self._entry.read()
        return None if key is None else key.encode()

    def _make(self) -> None:
        if self.key_in == "file":
            write_private(self.path, Fernet.generate_key(), replace=False)
        else:
            self._entry.write(Fernet.generate_key().decode())

    @contextmanager
    def _failing_as_ours(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as problem:
            raise Configuration(f"the key in {self._where} cannot be used") from problem
