"""Where a server's files and its socket lie, and the pointers to them when that is not the data folder."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from app.embedded.accounts import Account
from app.embedded.errors import ServerNotStarted

# Systems take 103 to 107 bytes for a socket's whole path, of which its name needs up to 15.
LONGEST_SOCKET_FOLDER = 88
# Other characters mean something in connection URLs or in PostgreSQL's list of socket folders.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")
OUTSIDE_CLOSED_HOMES = Path("/var/lib/hearth")


def place(pointer: Path, account: Account) -> Path:
    """The folder behind `pointer`, made on the first call; `account` owns it and can reach it.

    Below a closed home (root's, say) another account reaches nothing and opening the home is not ours to do: then
    the folder is made in `/var/lib/hearth` and `pointer` is a symbolic link to it.

    Raises:
        ServerNotStarted: an existing folder has gone or cannot be reached by `account`.
    """
    if pointer.is_symlink() and not pointer.exists():
        raise ServerNotStarted(
            f"{pointer} points to {pointer.readlink()}, which is gone: bring it back, "
            f"or remove {pointer} to start with empty data."
        )
    if not pointer.exists():
        pointer.mkdir(mode=0o700)
        account.own(pointer)
        if not account.may_write(pointer):
            pointer.rmdir()
            pointer.symlink_to(_make_outside(pointer, account))
    folder = pointer.resolve()
    if not account.may_write(folder):
        who = account.name or "this user"
        raise ServerNotStarted(f"{folder} cannot be written by {who}: move it, or set DATA_DIR to another folder.")
    return folder


def _make_outside(pointer: Path, account: Account) -> Path:
    if not OUTSIDE_CLOSED_HOMES.exists():
        OUTSIDE_CLOSED_HOMES.mkdir(parents=True)
        OUTSIDE_CLOSED_HOMES.chmod(0o755)  # whatever root's umask says: others pass through it
    folder = Path(tempfile.mkdtemp(prefix=f"{pointer.name}-", dir=OUTSIDE_CLOSED_HOMES))
    (folder / "belongs-to").write_text(f"{pointer}\n", encoding="utf-8")
    account.own(folder)
    return folder


def socket_folder(base: Path) -> Path:
    """Where the server of `base` has its socket: a path short and plain enough to connect to."""
    return _socket_pointer(base).resolve()


def make_socket_folder(base: Path, account: Account) -> None:
    """Make a fresh folder for the socket, in a temporary place when `base` is too long, too odd or out of reach."""
    remove_socket_folder(base)
    pointer = _socket_pointer(base)
    pointer.mkdir(mode=0o700)
    if _suits(pointer, account):
        return
    pointer.rmdir()
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes a private folder with a fresh name)
        folder = Path(tempfile.mkdtemp(prefix="hearth-", dir=Path(parent).resolve()))
        if _suits(folder, account):
            pointer.symlink_to(folder)
            return
        folder.rmdir()
    raise ServerNotStarted(f"No folder will do for a socket: {pointer} is too long, and /tmp cannot be used either.")


def remove_socket_folder(base: Path) -> None:
    pointer = _socket_pointer(base)
    shutil.rmtree(pointer.resolve(), ignore_errors=True)
    pointer.unlink(missing_ok=True)


def _socket_pointer(base: Path) -> Path:
    return base.with_suffix(".run")


def _suits(folder: Path, account: Account) -> bool:
    """Give `folder` to `account` if a socket in it could be used by both of us."""
    if not PLAIN_PATH.fullmatch(str(folder)) or len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER:
        return False
    account.own(folder)
    return account.may_write(folder)
