"""Columns that would harm somebody if a backup leaked: encrypted before they are stored, with a ring of keys."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.security.kept_keys import encryption_key
from app.settings import Settings

FORMAT: Final = b"\x01"
ID_BYTES: Final = 8
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32


class Undecryptable(Exception):
    """The key is not in the ring, or the bytes are not those that were encrypted for this place."""


class Cipher:
    """AES-256-GCM (NIST SP 800-38D); the newest key encrypts, those of before still decrypt.

    Stored as: format (1 byte), key id (8), nonce (12), ciphertext and tag. `place` names the column and the row, so
    that a value copied to another place does not decrypt there.
    """

    def __init__(self, key: str, previous_keys: Sequence[str] = ()) -> None:
        self._ring = {_id_of(each): AESGCM(_derive(each)) for each in (*previous_keys, key)}
        self._newest = _id_of(key)

    def encrypt(self, content: bytes, *, place: str) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return FORMAT + self._newest + nonce + self._ring[self._newest].encrypt(nonce, content, place.encode())

    def decrypt(self, stored: bytes, *, place: str) -> bytes:
        """Raises Undecryptable."""
        key_id, rest = stored[1 : 1 + ID_BYTES], stored[1 + ID_BYTES :]
        if stored[:1] != FORMAT or key_id not in self._ring:
            raise Undecryptable("the key is not in the ring: is it among ENCRYPTION_PREVIOUS_KEYS?")
        try:
            return self._ring[key_id].decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise Undecryptable("not what was encrypted for this place") from error

    @property
    def mark(self) -> bytes:
        """Whatever the newest key encrypted begins with it."""
        return FORMAT + self._newest

    def holds(self, mark: bytes) -> bool:
        """Whether a key of the ring makes what begins so."""
        return mark[:1] == FORMAT and mark[1:] in self._ring

    def is_current(self, stored: bytes) -> bool:
        """Whether the newest key encrypted it; else a rotation encrypts it again."""
        return stored.startswith(self.mark)


def make_cipher(settings: Settings) -> Cipher:
    previous = [key.get_secret_value() for key in settings.encryption.previous_keys]
    return Cipher(encryption_key(settings), previous)


def _derive(key: str) -> bytes:
    """A key of the right length out of a secret of any (RFC 5869)."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"hearth columns").derive(key.encode())


def _id_of(key: str) -> bytes:
    return hashlib.sha256(b"hearth column key id " + key.encode()).digest()[:ID_BYTES]
