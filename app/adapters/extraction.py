"""Text out of files. The parser runs in processes of its own, which are killed when a file is too much for them."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import struct
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import app
from app.adapters.media_types import SUPPORTED, refusal
from app.adapters.parsers.documents import Extracted, Heading, Page
from app.errors import ExtractionFailed
from app.settings import DocumentSettings

__all__ = ["Extracted", "Extractor", "Heading", "Page"]

LENGTHS = struct.Struct(">IQ")  # as in `app.adapters.parsing`, which is not imported here: it loads the parsers
MAX_HEADER_BYTES = 16_777_216
MAX_BYTES_PER_CHARACTER = 4
MAX_DOCUMENTS = 200  # then a process is replaced: native libraries leak
KEPT_ERROR_BYTES = 8_192

_TOO_LONG = (-signal.SIGALRM, -signal.SIGXCPU)
_OUT_OF_MEMORY = (b"MemoryError", b"memory allocation of", b"bad_alloc")


class Extractor:
    """Reads files in warm parser processes, at most `settings.parse_processes` at once; close it with `async with`."""

    def __init__(self, settings: DocumentSettings) -> None:
        self._settings = settings
        self._idle: list[_Parser] = []
        self._free = asyncio.Semaphore(settings.parse_processes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._idle:
            await self._idle.pop().kill()

    async def extract(self, path: Path, media_type: str) -> Extracted:
        """Text, pages and headings of the file at `path`; offsets are code points of the text.

        Raises:
            ExtractionFailed: UNSUPPORTED_MEDIA_TYPE, EMPTY, NO_TEXT, ENCRYPTED, CORRUPT, TOO_LARGE, FILE_MISSING,
                PARSE_TIMEOUT or PARSE_CRASHED, with a message for the person who sent the file.
        """
        if media_type not in SUPPORTED:
            raise ExtractionFailed("UNSUPPORTED_MEDIA_TYPE", refusal(media_type), media_type=media_type)
        async with self._free:
            try:
                return await self._extract(path, media_type)
            except _Crashed as crash:
                if crash.is_first_document:
                    raise _explain(crash) from crash
            try:  # the process may have been worn out, or killed from outside: a new one decides
                return await self._extract(path, media_type)
            except _Crashed as crash:
                raise _explain(crash) from crash

    async def _extract(self, path: Path, media_type: str) -> Extracted:
        parser = await self._take()
        try:
            async with asyncio.timeout(self._settings.parse_timeout.total_seconds()):
                found = await parser.parse(self._request(path, media_type), self._settings.max_characters)
        except TimeoutError:
            raise _took_too_long() from None
        finally:
            if parser.is_reusable:
                self._idle.append(parser)
            else:
                await parser.kill()
        return found

    async def _take(self) -> "_Parser":
        while self._idle:
            parser = self._idle.pop()
            if parser.is_alive:
                return parser
            await parser.kill()
        return await _Parser.start(self._settings.parse_memory_bytes)

    def _request(self, path: Path, media_type: str) -> bytes:
        request = {
            "path": str(path.absolute()),
            "media_type": media_type,
            "seconds": self._settings.parse_timeout.total_seconds(),
            "max_pages": self._settings.max_pages,
            "max_characters": self._settings.max_characters,
        }
        return json.dumps(request).encode() + b"\n"


class _Crashed(Exception):
    def __init__(self, return_code: int, errors: bytes, *, is_first_document: bool) -> None:
        super().__init__(f"parser ended with {return_code}: {errors.decode(errors='replace')}")
        self.return_code = return_code
        self.errors = errors
        self.is_first_document = is_first_document


class _Parser:
    """One parser process. It is reusable only after a complete reply: whatever else happens, it is killed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._documents = 0
        self._errors = bytearray()
        self._listener = asyncio.create_task(self._listen())
        self.is_reusable = False

    @classmethod
    async def start(cls, memory_bytes: int) -> Self:
        command = (sys.executable, "-m", "app.adapters.parsing", str(memory_bytes))
        folder = _private_folder()
        return cls(
            await asyncio.create_subprocess_exec(
                *command,
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

    async def parse(self, request: bytes, max_characters: int) -> Extracted:
        self.is_reusable = False
        self._documents += 1
        try:
            header, text = await self._exchange(request, max_characters * MAX_BYTES_PER_CHARACTER)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError) as error:
            raise await self._crash() from error
        self.is_reusable = not header.pop("worn") and self._documents < MAX_DOCUMENTS
        if "error" in header:
            raise ExtractionFailed(**header["error"])
        pages = tuple(Page(*page) for page in header["pages"])
        headings = tuple(Heading(*heading) for heading in header["headings"])
        return Extracted(text, pages, headings, header["title"])

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._listener  # ends with the process

    async def _exchange(self, request: bytes, max_text_bytes: int) -> tuple[dict[str, Any], str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(request)
        await stdin.drain()
        header_bytes, text_bytes = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
        if header_bytes > MAX_HEADER_BYTES or text_bytes > max_text_bytes:
            raise ValueError("reply is too long")
        header = json.loads(await stdout.readexactly(header_bytes))
        return header, (await stdout.readexactly(text_bytes)).decode()

    async def _crash(self) -> _Crashed:
        await self.kill()
        return _Crashed(self._process.returncode or 0, bytes(self._errors), is_first_document=self._documents == 1)

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
