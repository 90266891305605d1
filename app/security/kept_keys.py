"""Keys for signing and encrypting: given by the operator, or, outside production, made once and kept."""

import contextlib
import os
import secrets
from pathlib import Path

from pydantic import SecretStr

from app.settings import Settings
from app.settings.problems import MIN_SECRET_BYTES


def jwt_secret(settings: Settings) -> str:
    """The secret that signs: JWT_SECRET, or, outside production, one made once and kept in the data folder.

    Raises:
        ValueError: the kept secret is damaged.
    """
    return _configured_or_kept(settings.jwt.secret, settings.data_dir / "jwt_secret", "JWT_SECRET")


def encryption_key(settings: Settings) -> str:
    """The secret that encrypts columns: ENCRYPTION_KEY, or, outside production, one made once and kept.

    Raises:
        ValueError: the kept secret is damaged.
    """
    return _configured_or_kept(settings.encryption.key, settings.data_dir / "encryption_key", "ENCRYPTION_KEY")


def _configured_or_kept(configured: SecretStr, path: Path, name: str) -> str:
    if configured.get_secret_value():
        return configured.get_secret_value()
    with contextlib.suppress(FileExistsError):  # made before, or by a process that starts at the same time
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(48))
    kept = path.read_text(encoding="ascii").strip()
    if len(kept) < MIN_SECRET_BYTES:
        raise ValueError(f"{path} is damaged: restore it from a backup, remove it to make a new one, or set {name}")
    return kept


def _write_once(path: Path, content: str) -> None:
    """Make the whole file at once, for its owner only.

    Raises:
        FileExistsError: it is there already.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)  # unlike a rename, fails if the name is taken
    finally:
        draft.unlink()
