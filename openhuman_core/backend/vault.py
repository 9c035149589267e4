"""What this program writes down about an account is sealed with a key of the home, kept in a file of its own."""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from openhuman_core.backend.files import write_private
from openhuman_core.errors import Configuration


class Vault:
    """Seals bytes with the key in `<directory>/vault.key`, which is made when it is first needed.

    Every method raises `Configuration` when the key cannot be read or made, or is readable by others.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / "vault.key"

    def seal(self, data: bytes) -> bytes:
        """Encrypt and authenticate."""
        return Fernet(self._key).encrypt(data)

    def unseal(self, sealed: bytes) -> bytes:
        """Give back what was sealed; raises `Configuration` where it was sealed with another key."""
        try:
            return Fernet(self._key).decrypt(sealed)
        except InvalidToken as problem:
            raise Configuration(f"what was sealed does not open with {self.path}") from problem

    def fingerprint(self, data: bytes) -> str:
        """Give a digest that tells nothing of the data to who has not the key."""
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()

    @cached_property
    def _key(self) -> bytes:
        try:
            if not self.path.exists():
                write_private(self.path, Fernet.generate_key(), replace=False)
            if os.name == "posix" and self.path.stat().st_mode & 0o077:
                raise Configuration(
                    f"{self.path} is readable by others", hint="Take the others' rights away, or move it away."
                )
            key = self.path.read_bytes()
            Fernet(key)
        except (OSError, ValueError) as problem:
            raise Configuration(f"{self.path} cannot be used") from problem
        return key
