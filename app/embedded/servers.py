"""One server process: started or adopted, watched, stopped. Everything here blocks: call it in a thread."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from app.embedded.accounts import Account
from app.embedded.errors import ServerNotStarted
from app.embedded.folders import make_socket_folder, remove_socket_folder

START_TIMEOUT = 300  # recovery after a crash may take this long; a process that ends is noticed at once
RETRY_TIMEOUT = 15  # remains of a killed server go away by themselves
RETRY_PAUSE = 0.3
STOP_TIMEOUT = 30
CONNECT_TIMEOUT = 1
LARGEST_LOG = 5_000_000
# Nothing of the caller's environment: PGPORT would move the socket, and macOS needs a locale to be set.
ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}


class Engine(Protocol):
    """What PostgreSQL and Valkey differ in.

    `base` is a path without suffix in the data folder: the server owns the folder of that name, and the caller owns
    what lies beside it: `.lock`, `.log` and `.run`, which holds the socket. (As root it matters that no file which
    we write lies in a folder that another account could fill with links.)
    """

    name: str
    base: Path
    account: Account
    stop_signals: Sequence[signal.Signals]
    transient_errors: Sequence[str]

    @property
    def socket(self) -> Path: ...

    def prepare(self) -> None:
        """Make what a start needs, the first time from nothing."""

    def command(self) -> list[str]:
        """The server in the foreground."""

    def pid(self) -> int | None:
        """As the server's own file tells; None once it has ended in good order."""

    def is_ready(self) -> bool:
        """Whether it answers, given that it accepts connections."""


class Server:
    """The process of one engine. Whoever calls `start` holds the lock of its data."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._child: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None
        self._turn = threading.Lock()
        self._stopping = threading.Event()
        self._log = engine.base.with_suffix(".log")
        self._log_start = 0

    def start(self) -> None:
        """Return when it answers: adopt a server that a killed run left behind, else start one.

        Raises:
            ServerNotStarted: with what the server wrote into its log.
        """
        with self._turn:
            if self._stopping.is_set() or (accepts_connections(self._engine.socket) and self._adopt()):
                return
            try:
                self._engine.prepare()
                self._launch_with_patience()
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ServerNotStarted(f"{self.name} did not start: {error}") from error

    def stop(self) -> None:
        """Return when it has ended: asked politely, then less so. A start under way is given up first."""
        self._stopping.set()
        with self._turn:
            if self._pid is not None and self.is_alive():
                for number in self._engine.stop_signals:
                    self._engine.account.send_signal(self._pid, number)
                    if _wait(self._has_ended, STOP_TIMEOUT):
                        break
            remove_socket_folder(self._engine.base)

    def is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return accepts_connections(self._engine.socket)

    def _adopt(self) -> bool:
        self._child, self._pid = None, self._engine.pid()
        return self._pid is not None and _wait(self._is_ready, START_TIMEOUT)

    def _launch_with_patience(self) -> None:
        deadline = time.monotonic() + RETRY_TIMEOUT
        while not self._stopping.is_set() and not self._launch():
            if time.monotonic() > deadline or not self._failed_for_now():
                raise ServerNotStarted(f"{self.name} did not start. {self._log} says:\n{self._said()}")
            time.sleep(RETRY_PAUSE)

    def _launch(self) -> bool:
        """Start the process directly, not by a control program: its shell breaks on paths with quotes or dollars,
        and a child of ours is reaped, so its end is known at once."""
        make_socket_folder(self._engine.base, self._engine.account)
        with self._open_log() as log:
            self._log_start = log.tell()
            self._child = subprocess.Popen(
                self._engine.command(),
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us alone
                **self._engine.account.spawn_options,
            )
        self._pid = self._child.pid
        _wait(lambda: self._is_ready() or not self.is_alive() or self._stopping.is_set(), START_TIMEOUT)
        return self.is_alive() and self._is_ready()

    def _is_ready(self) -> bool:
        return accepts_connections(self._engine.socket) and self._engine.is_ready()

    def _has_ended(self) -> bool:
        """An adopted process is not ours to wait for: its own file goes when it ends."""
        if self._child is not None:
            return self._child.poll() is not None
        return self._engine.pid() != self._pid or not _exists(self._pid)

    def _failed_for_now(self) -> bool:
        said = self._said()
        return any(words in said for words in self._engine.transient_errors)

    def _open_log(self) -> BinaryIO:
        if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.old"))
        handle = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)  # statements quote people's data
        return os.fdopen(handle, "ab")

    def _said(self) -> str:
        """The end of what the last process wrote."""
        return self._log.read_bytes()[self._log_start :][-1500:].decode(errors="replace").strip()


def accepts_connections(path: Path) -> bool:
    try:
        with connect(path):
            return True
    except OSError:
        return False


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_TIMEOUT)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _exists(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _wait(condition: Callable[[], bool], timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    pause = 0.005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
    return True
