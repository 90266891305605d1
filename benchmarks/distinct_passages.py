"""100,000 passages that all differ, out of the measuring data: paragraphs, abstracts, parts of reports, what is said
in conversations, their single sentences, and pairs of these. What the models make of them is kept for the next time.
"""

import asyncio
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.adapters.embeddings import Embedder
from app.adapters.extraction import Extractor
from app.adapters.media_types import PDF
from app.adapters.sparse import SparseEncoder
from app.adapters.splade import MAX_PIECES
from app.services.chunking import chunk
from app.settings import DocumentSettings
from benchmarks.question_sets import SHARED, load, text_of

COUNT: Final = int(os.environ.get("PASSAGES", "100000"))
CACHE: Final = Path(os.environ.get("HEARTH_BENCHMARK_CACHE", Path(tempfile.gettempdir()) / "hearth-benchmark-cache"))
SETS: Final = ("squad", "medline", "cranfield", "vaswani", "mtrag-un", "locomo")
SHORTEST, LONGEST = 30, 600  # characters of a sentence
BATCH: Final = 2048
PART_OF_REPORT: Final = 200  # tokens

_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")


@dataclass(frozen=True)
class Passages:
    """`sources` are the sets they come from; `vectors` (passages, 384); `pieces` and `weights` (passages, 128) of what
    each speaks of, the strongest first, 0 where it is less.
    """

    texts: Sequence[str]
    sources: Sequence[str]
    vectors: NDArray[np.float16]
    pieces: NDArray[np.uint16]
    weights: NDArray[np.float16]


async def load_distinct(embedder: Embedder, sparse: SparseEncoder) -> Passages:
    """Read from the folder, or embedded now, which takes half an hour."""
    sources = await _sources(embedder)
    texts = [*sources]
    name = hashlib.sha256(json.dumps([texts, embedder.model, sparse.model]).encode()).hexdigest()[:16]
    path = CACHE / f"{name}.npz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        await _make(path, texts, embedder, sparse)
    with np.load(path) as kept:
        return Passages(texts, [*sources.values()], kept["vectors"], kept["pieces"], kept["weights"])


async def _make(path: Path, texts: Sequence[str], embedder: Embedder, sparse: SparseEncoder) -> None:
    vectors = np.zeros((len(texts), embedder.dimensions), np.float16)
    pieces = np.zeros((len(texts), MAX_PIECES), np.uint16)
    weights = np.zeros((len(texts), MAX_PIECES), np.float16)
    by_length = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for start in range(0, len(texts), BATCH):
        numbers = by_length[start : start + BATCH]
        chosen = [texts[number] for number in numbers]
        vectors[numbers], expansions = await asyncio.gather(
            embedder.embed_passages(chosen), sparse.expand_passages(chosen)
        )
        for number, found in zip(numbers, expansions, strict=True):
            pieces[number, : len(found.ids)] = found.ids
            weights[number, : len(found.ids)] = found.weights
        print(f"embedded {start + len(numbers):,} of {len(texts):,}", flush=True)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, vectors=vectors, pieces=pieces, weights=weights)
    unfinished.rename(path)


async def _sources(embedder: Embedder) -> dict[str, str]:
    """The texts, and the set that each is of."""
    wholes = [(text_of(passage), name) for name in SETS for passage in load(name).passages]
    wholes += [(part, "financebench") for part in await _reports(embedder)]
    sentences = [([*_sentences(whole)], name) for whole, name in wholes]
    singles = ((sentence, name) for several, name in sentences for sentence in several)
    pairs = ((" ".join(several[i : i + 2]), name) for several, name in sentences for i in range(0, len(several) - 1, 2))
    different: dict[str, str] = {}
    for text, name in chain(singles, wholes, pairs):
        different.setdefault(text, name)
    if len(different) < COUNT:
        raise SystemExit(f"the measuring data hold {len(different):,} passages that differ, not {COUNT:,}")
    return dict(islice(different.items(), COUNT))


async def _reports(embedder: Embedder) -> list[str]:
    found: list[str] = []
    async with Extractor(DocumentSettings()) as extractor:
        for path in sorted((SHARED / "financebench" / "pdfs").glob("*.pdf")):
            report = await extractor.extract(path, PDF)
            spans = await embedder.token_spans(report.text)
            found += [part.text for part in chunk(report, spans, max_tokens=PART_OF_REPORT, overlap=0)]
    return found


def _sentences(text: str) -> Iterator[str]:
    for part in _SENTENCE.split(text):
        sentence = " ".join(part.split())
        if SHORTEST <= len(sentence) <= LONGEST:
            yield sentence
