"""Which system account runs a server: PostgreSQL refuses to run as root."""

import os
import pwd
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.embedded.errors import ServerNotStarted

UNPRIVILEGED = ("postgres", "_postgres", "nobody")  # the second is how macOS names it
PROBE_TIMEOUT = 10


@dataclass(frozen=True, slots=True)
class Account:
    """The account that owns a server's files and runs its programs; `name` is None for the caller's own."""

    name: str | None = None
    user_id: int = -1
    group_id: int = -1

    @classmethod
    def unprivileged(cls, folder: Path) -> Self:
        """For a program that refuses root: the caller, or as root the owner of `folder`, else a system account.

        Raises:
            ServerNotStarted: running as root, and no account is there that could be used instead.
        """
        if os.geteuid() != 0:
            return cls()
        if folder.exists() and (owner := folder.stat().st_uid) != 0:
            return cls._named(_name_of(owner, folder))
        for name in UNPRIVILEGED:
            try:
                return cls._named(name)
            except KeyError:
                continue
        raise ServerNotStarted(
            f"PostgreSQL does not run as root, and none of the accounts {', '.join(UNPRIVILEGED)} exists here. "
            "Run Hearth as an ordinary user, add one of them, or set DATABASE_URL."
        )

    @classmethod
    def _named(cls, name: str) -> Self:
        entry = pwd.getpwnam(name)
        return cls(name, entry.pw_uid, entry.pw_gid)

    @property
    def spawn_options(self) -> dict[str, Any]:
        """Keyword arguments that make `subprocess` run a program as this account."""
        if self.name is None:
            return {}
        return {"user": self.user_id, "group": self.group_id, "extra_groups": []}

    def own(self, *paths: Path) -> None:
        if self.name is not None:
            for path in paths:
                os.chown(path, self.user_id, self.group_id, follow_symlinks=False)

    def may_write(self, folder: Path) -> bool:
        return self._succeeds("/bin/sh", "-c", 'test -w "$0" && test -x "$0"', str(folder))

    def may_run(self, program: Path) -> bool:
        return self._succeeds(str(program), "--version")

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """As the account itself, since `pid` may come from a file that it could have written."""
        self._succeeds("/bin/sh", "-c", 'kill -"$0" "$1"', str(number.value), str(pid))

    def _succeeds(self, *command: str) -> bool:
        """Ask the system by trying: permission bits alone know nothing of access lists and mount options."""
        try:
            done = subprocess.run(
                command, cwd="/", capture_output=True, timeout=PROBE_TIMEOUT, check=False, **self.spawn_options
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def _name_of(user_id: int, folder: Path) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        raise ServerNotStarted(
            f"{folder} belongs to user id {user_id}, which no account has: give it to an account that exists."
        ) from None
