"""The parser process: `python -m app.adapters.parsing MEMORY_BYTES`. Reads hostile files, so that the server need not.

A request is `{"path", "media_type", "seconds", "max_pages", "max_characters"}`. The header of the reply is
`{"error": {"code", "message"}}`, or `{"pages", "headings", "title"}`; the body is the document's text in UTF-8.
"""

import traceback
import unicodedata
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from app.adapters.confinement import serve
from app.adapters.media_types import EMAIL, PDF
from app.adapters.parsers.archives import ARCHIVES
from app.adapters.parsers.documents import Extracted, Unreadable
from app.adapters.parsers.formats import FORMATS, Parser
from app.adapters.parsers.mail import read_mail
from app.adapters.parsers.pdf import refuse_too_many_pages, warm_up

PARSERS: Mapping[str, Parser] = {**FORMATS, **ARCHIVES, EMAIL: read_mail}


def _answer(request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        found = _read(Path(request["path"]), request["media_type"], request["max_pages"])
        _check(found, request)
    except Unreadable as error:
        return {"error": {"code": error.code, "message": error.message}}, b""
    except MemoryError:
        return {"error": {"code": "TOO_LARGE", "message": "Reading the file needs more memory than is allowed."}}, b""
    except Exception:  # whatever a hostile file does to a parser, it is a damaged file
        traceback.print_exc()
        return {"error": {"code": "CORRUPT", "message": "The file is damaged: it could not be read."}}, b""
    pages = [astuple(page) for page in found.pages]
    headings = [astuple(heading) for heading in found.headings]
    return {"pages": pages, "headings": headings, "title": found.title}, found.text.encode("utf-8", "replace")


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


if __name__ == "__main__":
    serve(_answer, warm_up=warm_up)
