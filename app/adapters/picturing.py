"""The process for pictures: `python -m app.adapters.picturing MEMORY_BYTES`. Reads hostile files, as the parser does.

A request is `{"action": "inspect" | "render" | "reduce", "path", "media_type", "seconds", "max_pixels", "max_frames"}`,
for the last with the `side` in pixels. The header of the reply is `{"error": {"code", "message"}}`, `{"picture"}` or
`{"renditions"}`, whose contents are the body.
"""

import traceback
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.adapters.confinement import serve
from app.adapters.parsers.documents import Unreadable
from app.adapters.parsers.images import Bounds, inspect, reduce, render, warm_up


def _answer(request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        return _work(request)
    except Unreadable as error:
        return {"error": {"code": error.code, "message": error.message}}, b""
    except MemoryError:
        message = "Reading the picture needs more memory than is allowed."
        return {"error": {"code": "TOO_LARGE", "message": message}}, b""
    except Exception:
        traceback.print_exc()
        return {"error": {"code": "CORRUPT", "message": "The picture is damaged: it could not be read."}}, b""


def _work(request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    path, media_type = Path(request["path"]), request["media_type"]
    bounds = Bounds(request["max_pixels"], request["max_frames"])
    if request["action"] == "inspect":
        return {"picture": asdict(inspect(path, media_type, bounds))}, b""
    if request["action"] == "reduce":
        made = [reduce(path, media_type, bounds, request["side"])]
    else:
        made = list(render(path, media_type, bounds))
    heads = [[one.name, one.media_type, one.width, one.height, len(one.content)] for one in made]
    return {"renditions": heads}, b"".join(one.content for one in made)


if __name__ == "__main__":
    serve(_answer, warm_up=warm_up)
