"""What a process does that reads hostile files: it takes requests, answers, and lives within narrow limits.

A request is a line of JSON on stdin, in which `seconds` is the time for it. The reply on stdout is two lengths
(`LENGTHS`), a JSON header of the first and a body of the second. The header holds `"worn": true` when the process has
grown and should be replaced. It ends with its stdin, and by itself when a file takes too long.
"""

import contextlib
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

LENGTHS: Final = struct.Struct(">IQ")
GRACE_SECONDS: Final = 5  # after which a process whose parent is gone, or asleep, ends itself
NICENESS: Final = 5  # beyond that of the worker, as the threads that embed: neither waits for the other
WORN_BYTES: Final = 268_435_456

Answer = Callable[[Mapping[str, Any]], tuple[dict[str, Any], bytes]]


def serve(answer: Answer, *, warm_up: Callable[[], None]) -> None:
    """Answer requests until stdin ends; `warm_up` loads what they need, before memory is limited.

    `sys.argv[1]` says how many bytes of memory the process may use above what it has then.
    """
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
        header, body = answer(request)
        header["worn"] = _memory_bytes() > base + WORN_BYTES
        signal.alarm(0)
        _send(replies, header, body)


def _send(replies: BinaryIO, header: Mapping[str, Any], body: bytes) -> None:
    head = json.dumps(header).encode()
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
