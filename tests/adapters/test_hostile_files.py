"""Damaged files and bombs of every kind: they end as text or with a code, soon, and the next file is read."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.adapters.extraction import Extractor
from app.adapters.media_types import TEXT
from app.errors import ExtractionFailed
from app.settings import DocumentSettings
from tests.hostile_files import WHOLE, bombs, damage

DAMAGED = 40  # of each kind
CODES = {"text", "CORRUPT", "NO_TEXT", "ENCRYPTED", "TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "EMPTY"}
SOON = 10  # seconds, on a busy machine
LAG = 0.25  # seconds: far more than is usual, and less than many of these files take


@pytest.fixture(scope="module")
async def extractor() -> AsyncIterator[Extractor]:
    async with Extractor(DocumentSettings()) as extractor:
        yield extractor


async def outcome(extractor: Extractor, path: Path, content: bytes, media_type: str) -> str:
    path.write_bytes(content)  # noqa: ASYNC240 (a small file)
    try:
        await extractor.extract(path, media_type)
    except ExtractionFailed as error:
        return error.code
    return "text"


async def longest_lag() -> float:
    """How late a short sleep ends at worst, until it is cancelled."""
    worst = 0.0
    try:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.005)
            worst = max(worst, time.perf_counter() - started - 0.005)
    except asyncio.CancelledError:
        return worst


@pytest.mark.parametrize("media_type", WHOLE)
async def test_damaged_files_end_as_text_or_with_a_code(extractor, tmp_path, media_type):
    chance = random.Random(media_type)
    assert await outcome(extractor, tmp_path / "file", WHOLE[media_type], media_type) == "text"

    for _ in range(DAMAGED):
        started = time.monotonic()
        assert await outcome(extractor, tmp_path / "file", damage(WHOLE[media_type], chance), media_type) in CODES
        assert time.monotonic() - started < SOON


async def test_bombs_end_soon_and_the_loop_does_not_notice(extractor, tmp_path):
    files = list(bombs())
    watch = asyncio.create_task(longest_lag())
    await asyncio.sleep(0)
    slow = {}
    for name, media_type, content in files:
        started = time.monotonic()
        assert await outcome(extractor, tmp_path / "file", content, media_type) in CODES
        if time.monotonic() - started > SOON:
            slow[name, media_type] = time.monotonic() - started
    watch.cancel()

    assert slow == {}
    assert await outcome(extractor, tmp_path / "file", b"the next one", TEXT) == "text"
    assert await watch < LAG
