"""What becomes of every file of the shared documents, and how long that takes.

python -m benchmarks.formats [FILE …]
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.adapters.extraction import Extractor
from app.adapters.media_types import HEAD_BYTES, sniff
from app.errors import ExtractionFailed
from app.settings import DocumentSettings
from benchmarks.measuring import machine
from tests.conftest import SHARED


async def read(extractor: Extractor, path: Path) -> str:
    head = await asyncio.to_thread(path.read_bytes)
    media_type = sniff(head[:HEAD_BYTES], path.name)
    try:
        found = await extractor.extract(path, media_type)
    except ExtractionFailed as error:
        return f"{error.code}: {error.message}"
    return f"{len(found.text):,} characters, {len(found.pages)} pages, {len(found.headings)} headings"


async def main(files: Sequence[Path]) -> None:
    print(machine())
    print("| file | kB | seconds | outcome |\n| --- | ---: | ---: | --- |")
    async with Extractor(DocumentSettings()) as extractor:
        for path in files:
            started = time.perf_counter()
            outcome = await read(extractor, path)
            took = time.perf_counter() - started
            print(f"| {path.name} | {path.stat().st_size / 1_000:,.1f} | {took:.3f} | {outcome} |", flush=True)


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    asyncio.run(main(given or sorted((SHARED / "documents").iterdir())))
