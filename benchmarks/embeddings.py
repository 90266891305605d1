"""The embedded model in 8 bits against itself in fp32: speed, waiting, memory, and what is found with it on SQuAD.

Rates are those of the fastest call, since others may work on the machine; one thread each.

python -m benchmarks.embeddings
"""

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from app.adapters.batching import FloatArray
from app.adapters.embeddings import Embedder, open_embedder
from app.settings import EmbeddingSettings
from benchmarks.measuring import in_turn, machine, p50, percentiles
from benchmarks.question_sets import QuestionSet, load

ROUNDS = 5
PASSAGES = 24  # in one measured call
TOGETHER = 16  # questions at once
TOP = 10

MEMORY = """
import asyncio, json, sys
from pathlib import Path
import psutil
from app.adapters.embeddings import open_embedder
from app.settings import EmbeddingSettings

def resident():
    memory = psutil.Process().memory_full_info()
    return [memory.rss / 2**20, (memory.rss - memory.shared) / 2**20]

async def main():
    found = [resident()]
    async with open_embedder(EmbeddingSettings(precision=sys.argv[2], threads=1), Path(sys.argv[1])) as embedder:
        await embedder.check()
        found.append(resident())
        await embedder.embed_passages(json.load(sys.stdin))
        found.append(resident())
    print(json.dumps(found))

asyncio.run(main())
"""


async def compare_speed(small: Embedder, exact: Embedder, texts: Sequence[str]) -> None:
    some = texts[:PASSAGES]
    eights, exacts = await in_turn(
        lambda: small.embed_passages(some), lambda: exact.embed_passages(some), rounds=ROUNDS, times=2
    )
    best, reference = PASSAGES / min(eights), PASSAGES / min(exacts)
    print(f"passages of SQuAD a second   int8 {best:.1f}   fp32 {reference:.1f}   ratio {best / reference:.2f}")


async def compare_questions(small: Embedder, exact: Embedder, questions: Sequence[str]) -> None:
    """All are different, since a question is remembered."""
    fresh = iter(questions)
    eights, exacts = await in_turn(
        lambda: small.embed_query(next(fresh)), lambda: exact.embed_query(next(fresh)), rounds=ROUNDS, times=20
    )
    print(f"a question alone, p50 / p95  int8 {percentiles(eights)}   fp32 {percentiles(exacts)}", end="")
    print(f"   ratio {p50(exacts) / p50(eights):.2f}")

    async def together() -> None:
        await asyncio.gather(*(small.embed_query(next(fresh)) for _ in range(TOGETHER)))

    async def one_by_one() -> None:
        for _ in range(TOGETHER):
            await small.embed_query(next(fresh))

    batched, single = await in_turn(together, one_by_one, rounds=ROUNDS, times=4)
    best, reference = TOGETHER / min(batched), TOGETHER / min(single)
    print(f"{TOGETHER} questions at once, a second   batched {best:.0f}   one by one {reference:.0f}", end="")
    print(f"   ratio {best / reference:.2f}")


async def measure_waiting(embedder: Embedder, texts: Sequence[str], questions: Sequence[str]) -> None:
    """How long a question takes while a document is embedded, against the time of the whole document."""
    started = time.perf_counter()
    document = asyncio.create_task(embedder.embed_passages(texts[:150]))
    waits: list[float] = []
    while not document.done():
        asked = time.perf_counter()
        await embedder.embed_query(questions[len(waits)])
        waits.append(time.perf_counter() - asked)
        await asyncio.sleep(0.03)
    took = time.perf_counter() - started
    print(f"a question meanwhile, p50 / p95  {percentiles(waits)}   of the {took:.1f} s that 150 passages took")


def measure_memory(models_dir: Path, texts: Sequence[str]) -> None:
    for precision in ("int8", "fp32"):
        command = (sys.executable, "-c", MEMORY, str(models_dir), precision)
        said = subprocess.run(command, input=json.dumps(texts[:40]), capture_output=True, check=True, text=True).stdout
        parts = (f"{resident:.0f} ({own:.0f} of its own)" for resident, own in json.loads(said))
        print(f"memory in MiB, {precision}: imported, loaded, after 40 passages   {',  '.join(parts)}")


async def compare_findings(small: Embedder, exact: Embedder, squad: QuestionSet) -> None:
    texts = [passage["text"] for passage in squad.passages]
    ids = [passage["_id"] for passage in squad.passages]
    asked = squad.answerable()
    scores, vectors = [], []
    for embedder in (small, exact):
        passages = await embedder.embed_passages(texts)
        questions = await embedder.embed_passages([question.text for question in asked])  # the same to this model
        vectors.append(passages)
        scores.append(ndcg(questions @ passages.T, ids, [squad.relevant[question.id] for question in asked]))
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    print(f"SQuAD, {len(texts)} passages, {len(asked)} questions, nDCG@{TOP}   ", end="")
    print(f"int8 {scores[0]:.4f}   fp32 {scores[1]:.4f}")
    print(f"cosine of int8 to fp32   mean {cosines.mean():.4f}   least {cosines.min():.4f}")


def ndcg(similarities: FloatArray, ids: Sequence[str], relevant: Sequence[Mapping[str, float]]) -> float:
    total = 0.0
    for row, grades in zip(similarities, relevant, strict=True):
        best = np.argsort(-row, kind="stable")[:TOP]
        gained = sum(grades.get(ids[index], 0) / math.log2(rank + 2) for rank, index in enumerate(best))
        ideal = sorted(grades.values(), reverse=True)[:TOP]
        total += gained / sum(grade / math.log2(rank + 2) for rank, grade in enumerate(ideal))
    return total / len(relevant)


async def main() -> None:
    print(machine())
    squad = load("squad")
    texts = [passage["text"] for passage in squad.passages]
    questions = list(dict.fromkeys(question.text for question in squad.questions if not question.is_answerable))
    with TemporaryDirectory(prefix="hearth-benchmark-") as folder:
        async with (
            open_embedder(EmbeddingSettings(precision="int8", threads=1), Path(folder)) as small,
            open_embedder(EmbeddingSettings(precision="fp32", threads=1), Path(folder)) as exact,
        ):
            await small.check()
            await exact.check()
            await compare_speed(small, exact, texts)
            await compare_questions(small, exact, questions[:1200])
            await measure_waiting(small, texts, questions[1200:])
            measure_memory(Path(folder), texts)
            await compare_findings(small, exact, squad)


if __name__ == "__main__":
    asyncio.run(main())
