"""The parser process: `python -m app.adapters.parsing MEMORY_BYTES`. Reads hostile files, so that the server need not.

A request is a line of JSON on stdin, `{"path", "media_type", "seconds", "max_pages", "max_characters"}`. The reply on
stdout is two lengths (`LENGTHS`), a JSON header of the first length and the document's text in UTF-8 of the second.
The header is `{"error": {"code", "message"}}`, or `{"pages", "headings", "title"}` with `"worn": true` when the process
has grown and should be replaced. It ends with its stdin, and by itself when a document takes too long.
"""

import contextlib
import json
import os
import resource
import signal
import struct
import sys
import traceback
import unicodedata
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

from app.adapters.media_types import EMAIL, PDF
from app.adapters.parsers.archives import ARCHIVES
from app.adapters.parsers.documents import Extracted, Unreadable
from app.adapters.parsers.formats import FORMATS, Parser
from app.adapters.parsers.mail import read_mail
from app.adapters.parsers.pdf import refuse_too_many_pages, warm_up

LENGTHS = struct.Struct(">IQ")
GRACE_SECONDS = 5  # after which a process whose parent is gone, or asleep, ends itself
NICENESS = 5  # beyond that of the worker, as the threads that embed: neither waits for the other
WORN_BYTES = 268_435_456

PARSERS: Mapping[str, Parser] = {**FORMATS, **ARCHIVES, EMAIL: read_mail}


def main() -> None:
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not end up in a reply
    os.nice(NICENESS)
    warm_up()
    base = _memory_bytes()
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)  # it has nothing to write
    if base:
        _limit(resource.RLIMIT_AS, base + int(sys.argv[1]))
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_time(request["seconds"] + GRACE_SECONDS)
        header, text = _answer(request)
        header["worn"] = _memory_bytes() > base + WORN_BYTES
        signal.alarm(0)
        _send(replies, header, text)


def _answer(request: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    try:
        found = _read(Path(request["path"]), request["media_type"], request["max_pages"])
        _check(found, request)
    except Unreadable as error:
        return {"error": {"code": error.code, "message": error.message}}, ""
    except MemoryError:
        return {"error": {"code": "TOO_LARGE", "message": "Reading the file needs more memory than is allowed."}}, ""
    except Exception:  # whatever a hostile file does to a parser, it is a damaged file
        traceback.print_exc()
        return {"error": {"code": "CORRUPT", "message": "The file is damaged: it could not be read."}}, ""
    pages = [astuple(page) for page in found.pages]
    headings = [astuple(heading) for heading in found.headings]
    return {"pages": pages, "headings": headings, "title": found.title}, found.text


def _read(path: Path, media_type: str, max_pages: int) -> Extracted:
    if not path.exists():
        raise Unreadable("FILE_MISSING", "The file is not in the store any more: upload it again.")
    if path.is_file() and path.stat().st_size == 0:
        raise Unreadable("EMPTY", "The file is empty.")
    if media_type == PDF:
        refuse_too_many_pages(path, max_pages)
    return PARSERS[media_type](path.read_bytes())


def _check(found: Extracted, request: Mapping[str, Any]) -> None:
    sizes = (("pages", len(found.pages)), ("characters", len(found.text)))
    for unit, count in sizes:
        if count > (allowed := request[f"max_{unit}"]):
            raise Unreadable("TOO_LARGE", f"The document has {count:,} {unit}; at most {allowed:,} can be read.")
    if not _says_something(found.text):
        hint = " It seems to be a scan: run it through text recognition first." if request["media_type"] == PDF else ""
        raise Unreadable("NO_TEXT", f"No text was found in the file.{hint}")


def _says_something(text: str) -> bool:
    """Whether there is more in it than white space, brackets and other marks: a letter, a digit, a symbol."""
    return any(character.isalnum() or unicodedata.category(character)[0] in "LMNS" for character in text)


def _send(replies: BinaryIO, header: Mapping[str, Any], text: str) -> None:
    head, body = json.dumps(header).encode(), text.encode("utf-8", "replace")
    replies.write(LENGTHS.pack(len(head), len(body)))
    replies.write(head)
    replies.write(body)
    replies.flush()


def _limit_time(seconds: float) -> None:
    """The default action of both signals is to end the process, wherever it hangs."""
    signal.alarm(max(1, int(seconds)))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + seconds) + 1)


def _limit(kind: int, value: int) -> None:
    with contextlib.suppress(ValueError, OSError):  # not every system knows every limit
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))


def _memory_bytes() -> int:
    """Address space in use; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


if __name__ == "__main__":
    main()
