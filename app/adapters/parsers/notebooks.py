"""Notebooks (Jupyter): what is written, the code, and what it printed."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.headings import markdown_headings
from app.adapters.parsers.plain import read_json
from app.adapters.parsers.texts import decode, make_safe

_COLOURS = re.compile("\x1b\\[[0-9;]*[A-Za-z]")
_FENCE = "```"


def read_notebook(data: bytes) -> Extracted:
    """Cells in order, code between fences; outputs only where they are text. What is no notebook is read as JSON.

    Raises:
        Unreadable: CORRUPT.
    """
    try:
        notebook = json.loads(decode(data))
    except (ValueError, RecursionError) as error:
        raise Unreadable("CORRUPT", "The file is damaged: it is no notebook.") from error
    cells = _cells(notebook)
    if not cells:
        return read_json(data)
    language = _language(notebook)
    composer = Composer()
    title = None
    for cell in cells:
        text = make_safe(_joined(cell.get("source", cell.get("input", "")))).strip("\n")
        if cell.get("cell_type") == "heading":
            text = f"# {text}"
        if cell.get("cell_type") == "code":
            composer.add(f"{_FENCE}{language}\n{text}\n{_FENCE}" if text.strip() else "")
            composer.add("\n".join(_outputs(cell)))
            continue
        start = composer.add(text)
        for level, shown, offset in markdown_headings(text):
            title = title or (shown if level == 1 else None)
            composer.mark_heading(level, shown, start + offset)
    return composer.finish(title)


def _cells(notebook: Any) -> list[dict[str, Any]]:
    """Before version 4 they stood in worksheets."""
    if not isinstance(notebook, dict):
        return []
    sheets = notebook.get("worksheets")
    sources = sheets if isinstance(sheets, list) else [notebook]
    lists = (source.get("cells") for source in sources if isinstance(source, dict))
    return [cell for cells in lists if isinstance(cells, list) for cell in cells if isinstance(cell, dict)]


def _language(notebook: Mapping[str, Any]) -> str:
    metadata = notebook.get("metadata")
    about = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = about.get("name") if isinstance(about, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[\w+#-]{1,20}", name) else ""


def _outputs(cell: Mapping[str, Any]) -> Iterator[str]:
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict) and (shown := make_safe(_COLOURS.sub("", _output(output))).strip("\n")):
            yield shown


def _output(output: Mapping[str, Any]) -> str:
    found = output.get("data", output)
    if output.get("output_type") in ("error", "pyerr"):
        return f"{_joined(output.get('ename'))}: {_joined(output.get('evalue'))}"
    if not isinstance(found, dict):
        return ""
    kinds = ("text/markdown", "text/plain", "text")
    return next((_joined(found[kind]) for kind in kinds if kind in found), "")


def _joined(source: Any) -> str:
    """A text is a string, or a list of lines with their ends."""
    if isinstance(source, str):
        return source
    return "".join(_strings(source)) if isinstance(source, list) else ""


def _strings(values: Iterable[Any]) -> Iterator[str]:
    return (value for value in values if isinstance(value, str))
