"""Processes of our own that read hostile files, and are killed when a file is too much for them."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import app
from app.adapters.confinement import LENGTHS
from app.errors import ExtractionFailed

MAX_HEADER_BYTES = 16_777_216
MAX_FILES = 200  # then a process is replaced: native libraries leak
KEPT_ERROR_BYTES = 8_192

_TOO_LONG = (-signal.SIGALRM, -signal.SIGXCPU)
_OUT_OF_MEMORY = (b"MemoryError", b"memory allocation of", b"bad_alloc")


class ProcessPool:
    """Warm processes of one `module`, at most `processes` at once, each with `memory_bytes` above its base."""

    def __init__(self, module: str, *, processes: int, memory_bytes: int, timeout: timedelta) -> None:
        self._module = module
        self._memory_bytes = memory_bytes
        self._timeout = timeout
        self._idle: list[_Helper] = []
        self._free = asyncio.Semaphore(processes)

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop().kill()

    async def ask(self, request: Mapping[str, Any], *, max_body: int) -> tuple[dict[str, Any], bytes]:
        """What a process answers: a header, and a body of at most `max_body` bytes.

        Raises:
            ExtractionFailed: what the header's `error` says, or TOO_LARGE, PARSE_TIMEOUT, PARSE_CRASHED.
        """
        line = json.dumps({**request, "seconds": self._timeout.total_seconds()}).encode() + b"\n"
        async with self._free:
            try:
                return await self._ask(line, max_body)
            except _Crashed as crash:
                if crash.is_first_file:
                    raise _explain(crash) from crash
            try:  # the process may have been worn out, or killed from outside: a new one decides
                return await self._ask(line, max_body)
            except _Crashed as crash:
                raise _explain(crash) from crash

    async def _ask(self, line: bytes, max_body: int) -> tuple[dict[str, Any], bytes]:
        helper = await self._take()
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                header, body = await helper.ask(line, max_body)
        except TimeoutError:
            raise _took_too_long() from None
        finally:
            if helper.is_reusable:
                self._idle.append(helper)
            else:
                await helper.kill()
        if "error" in header:
            raise ExtractionFailed(**header["error"])
        return header, body

    async def _take(self) -> "_Helper":
        while self._idle:
            helper = self._idle.pop()
            if helper.is_alive:
                return helper
            await helper.kill()
        return await _Helper.start(self._module, self._memory_bytes)


class _Crashed(Exception):
    def __init__(self, return_code: int, errors: bytes, *, is_first_file: bool) -> None:
        super().__init__(f"process ended with {return_code}: {errors.decode(errors='replace')}")
        self.return_code = return_code
        self.errors = errors
        self.is_first_file = is_first_file


class _Helper:
    """One process. It is reusable only after a complete reply: whatever else happens, it is killed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._files = 0
        self._errors = bytearray()
        self._listener = asyncio.create_task(self._listen())
        self.is_reusable = False

    @classmethod
    async def start(cls, module: str, memory_bytes: int) -> Self:
        folder = _private_folder()
        return cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, str(memory_bytes)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        )

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, line: bytes, max_body: int) -> tuple[dict[str, Any], bytes]:
        self.is_reusable = False
        self._files += 1
        try:
            header, body = await self._exchange(line, max_body)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise await self._crash() from error
        self.is_reusable = not header.pop("worn") and self._files < MAX_FILES
        return header, body

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._listener  # ends with the process

    async def _exchange(self, line: bytes, max_body: int) -> tuple[dict[str, Any], bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(line)
        await stdin.drain()
        header_bytes, body_bytes = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
        if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body:
            raise ValueError("reply is too long")
        header = json.loads(await stdout.readexactly(header_bytes))
        return header, await stdout.readexactly(body_bytes)

    async def _crash(self) -> _Crashed:
        await self.kill()
        return _Crashed(self._process.returncode or 0, bytes(self._errors), is_first_file=self._files == 1)

    async def _listen(self) -> None:
        """Keep the end of what the process complains about, and let it never wait for a reader."""
        assert self._process.stderr is not None
        while heard := await self._process.stderr.read(KEPT_ERROR_BYTES):
            self._errors += heard
            del self._errors[:-KEPT_ERROR_BYTES]


def _explain(crash: _Crashed) -> ExtractionFailed:
    if crash.return_code in _TOO_LONG:
        return _took_too_long()
    if any(sign in crash.errors for sign in _OUT_OF_MEMORY):
        return ExtractionFailed("TOO_LARGE", "Reading the file needs more memory than is allowed.")
    return ExtractionFailed("PARSE_CRASHED", "The file could not be read: it breaks the program that reads such files.")


def _took_too_long() -> ExtractionFailed:
    return ExtractionFailed("PARSE_TIMEOUT", "The file took too long to read. Try to split it into smaller ones.")


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of the server's environment, which holds secrets; few threads, each of which reserves memory."""
    threads = dict.fromkeys(("RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS", "OMP_NUM_THREADS"), "1")
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(app.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
        **threads,
        **kept,
    }


def _private_folder() -> Path:
    """A folder that nobody else can write to: kreuzberg unpacks a library into `TMPDIR` and loads it from there."""
    folder = Path(tempfile.gettempdir()) / f"hearth-parsers-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="hearth-parsers-"))
