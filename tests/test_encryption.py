"""Encrypted columns: what is stored tells nothing, belongs to one place, and survives a rotation."""

import pytest

from app.security import Cipher, Undecryptable

OLD, NEW = "o" * 32, "n" * 32
PLACE = "identities.access_token:1"


def test_what_was_encrypted_is_read_in_its_place_and_nowhere_else():
    cipher = Cipher(NEW)
    for content in (b"", b"a token", bytes(range(256)) * 100):
        stored = cipher.encrypt(content, place=PLACE)
        assert content == b"" or content not in stored
        assert stored != cipher.encrypt(content, place=PLACE)
        assert cipher.decrypt(stored, place=PLACE) == content
        with pytest.raises(Undecryptable):
            cipher.decrypt(stored, place="identities.access_token:2")


def test_every_changed_bit_is_noticed():
    cipher = Cipher(NEW)
    stored = cipher.encrypt(b"a token", place=PLACE)
    for position in range(len(stored)):
        changed = stored[:position] + bytes([stored[position] ^ 1]) + stored[position + 1 :]
        with pytest.raises(Undecryptable):
            cipher.decrypt(changed, place=PLACE)
        with pytest.raises(Undecryptable):
            cipher.decrypt(stored[:position], place=PLACE)


def test_after_a_rotation_old_content_is_read_and_known_to_be_old():
    before, rotated = Cipher(OLD), Cipher(NEW, [OLD])
    stored = before.encrypt(b"a token", place=PLACE)
    assert rotated.decrypt(stored, place=PLACE) == b"a token"
    assert not rotated.is_current(stored)
    renewed = rotated.encrypt(b"a token", place=PLACE)
    assert rotated.is_current(renewed)
    with pytest.raises(Undecryptable, match="ENCRYPTION_PREVIOUS_KEYS"):
        before.decrypt(renewed, place=PLACE)
