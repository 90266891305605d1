import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.adapters.embeddings import Embedder, open_embedder
from app.adapters.minilm import MiniLM
from app.adapters.wordpieces import PIECE_CHARACTERS, load_tokenizer, token_spans
from app.errors import ServiceUnavailable
from app.settings import EmbeddingSettings

ANIMALS = "The cat sleeps on the warm stove all afternoon."
TAXES = "Income tax returns are due at the end of May."
LONG = "The house by the lake was sold in spring, and nobody knew who had bought it. " * 12
# What the model's authors publish for this sentence, to four places.
EXAMPLE = "This is an example sentence"
EXAMPLE_VECTOR = [0.0677, 0.0635, 0.0487, 0.0793, 0.0374, 0.0027, 0.0394, -0.0071]


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
async def embedder(models_dir: Path) -> AsyncIterator[Embedder]:
    async with open_embedder(EmbeddingSettings(threads=1), models_dir) as opened:
        await opened.check()
        yield opened


@pytest.fixture
def own_models_dir(models_dir: Path, tmp_path: Path) -> Path:
    """A copy of what was built, to be damaged."""
    MiniLM(models_dir, "int8").load()
    return shutil.copytree(models_dir, tmp_path / "models")


async def test_fp32_gives_the_published_vectors_and_int8_nearly_the_same(models_dir: Path):
    texts = [EXAMPLE, ANIMALS, TAXES, LONG]
    exact = MiniLM(models_dir, "fp32").encode(texts)
    small = MiniLM(models_dir, "int8").encode(texts)

    assert exact[0, :8] == pytest.approx(EXAMPLE_VECTOR, abs=6e-5)
    assert np.linalg.norm(exact, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(small, axis=1) == pytest.approx(1, abs=1e-5)
    assert (exact * small).sum(axis=1).min() > 0.99


async def test_a_question_is_nearest_to_the_passage_that_answers_it(embedder: Embedder):
    question = await embedder.embed_query("When must I declare what I earned?")
    passages = await embedder.embed_passages([LONG, TAXES, ANIMALS])

    assert question.shape == (384,)
    assert question.dtype == passages.dtype == np.float32
    assert (passages @ question).argmax() == 1


async def test_a_vector_does_not_depend_on_what_else_is_embedded(embedder: Embedder):
    texts = [LONG, ANIMALS, "", TAXES, "half a pair: \ud83d", LONG[:400], ANIMALS]
    together = await embedder.embed_passages(texts)
    alone = np.array([await embedder.embed_query(text) for text in texts])

    assert (together * alone).sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (await embedder.embed_passages([])).shape == (0, 384)


async def test_only_what_is_longer_than_the_model_reads_is_cut(embedder: Embedder):
    words = ["word"] * embedder.max_tokens
    fits, longer, much_longer, different = await embedder.embed_passages(
        [" ".join(words), " ".join([*words, "cut"]), " ".join([*words, "cut"] * 1000), " ".join([*words[1:], "kept"])]
    )

    assert fits @ longer == pytest.approx(1, abs=1e-5)
    assert fits @ much_longer == pytest.approx(1, abs=1e-5)
    assert fits @ different < 0.999


async def test_a_question_overtakes_passages_and_all_are_embedded(embedder: Embedder):
    passages = asyncio.create_task(embedder.embed_passages([LONG] * 30))
    await asyncio.sleep(0.1)
    started = time.perf_counter()
    await asyncio.gather(*(embedder.embed_query(f"question {number}") for number in range(8)))
    waited = time.perf_counter() - started
    assert not passages.done()
    vectors = await passages
    assert waited < (time.perf_counter() - started) / 2
    assert (vectors @ vectors[0]).min() == pytest.approx(1, abs=1e-5)


async def test_a_caller_that_leaves_is_not_worked_for(embedder: Embedder):
    leaving = asyncio.create_task(embedder.embed_passages([LONG] * 500))
    await asyncio.sleep(0.05)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    async with asyncio.timeout(5):  # 500 of them take much longer
        assert (await embedder.embed_passages([TAXES])).shape == (1, 384)


async def test_a_repeated_question_is_remembered(embedder: Embedder):
    first = await embedder.embed_query("Who asked first?")
    assert await embedder.embed_query("Who asked first?") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


async def test_closing_turns_away_those_who_wait(models_dir: Path):
    async with open_embedder(EmbeddingSettings(threads=1), models_dir) as opened:
        waiting = asyncio.create_task(opened.embed_passages([LONG] * 50))
        await asyncio.sleep(0.05)
    with pytest.raises(ServiceUnavailable):
        await waiting
    with pytest.raises(ServiceUnavailable):
        await opened.embed_query("too late")


START = """
import asyncio, sys
from pathlib import Path
from app.adapters.embeddings import open_embedder
from app.settings import EmbeddingSettings

async def main():
    async with open_embedder(EmbeddingSettings(), Path(sys.argv[1])) as embedder:
        print((await embedder.embed_query("hello")).tolist())
    print("onnx" in sys.modules)

asyncio.run(main())
"""


async def test_two_processes_that_start_at_once_build_the_graph_once(tmp_path: Path):
    command = (sys.executable, "-c", START, str(tmp_path / "models"))
    starting = [await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE) for _ in range(2)]
    said = [(await process.communicate())[0].decode() for process in starting]

    assert said[0] == said[1]
    assert said[0].endswith("]\nFalse\n")  # what building needs was not loaded here
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [".lock", "all-MiniLM-L6-v2-int8-v1"]


@pytest.mark.parametrize("damage", ["short", "zeros", "no graph"])
def test_a_damaged_graph_is_built_anew(own_models_dir: Path, damage: str):
    (folder,) = own_models_dir.glob("*int8*")
    whole = (folder / "weights.bin").stat().st_size
    match damage:
        case "short":
            (folder / "weights.bin").write_bytes((folder / "weights.bin").read_bytes()[: whole // 2])
        case "zeros":
            (folder / "weights.bin").write_bytes(bytes(whole))
        case "no graph":
            (folder / "model.onnx").write_bytes(b"")

    first, second = MiniLM(own_models_dir, "int8").encode([ANIMALS, ANIMALS])
    assert first @ second == pytest.approx(1, abs=1e-5)
    assert (folder / "weights.bin").stat().st_size == whole


async def test_a_folder_that_cannot_be_written_is_a_failure_to_recover_from(tmp_path: Path):
    models_dir = tmp_path / "models"
    models_dir.write_text("a file stands in the way")
    async with open_embedder(EmbeddingSettings(), models_dir) as opened:
        with pytest.raises(ServiceUnavailable, match="data folder"):
            await opened.check()
        with pytest.raises(ServiceUnavailable, match="data folder"):
            await opened.embed_query("hello")
        models_dir.unlink()
        await opened.check()
        assert (await opened.embed_query("hello")).shape == (384,)


@pytest.mark.parametrize("wrong", [{"model": "text-embedding-3-small"}, {"dimensions": 1536}])
async def test_the_embedded_model_is_not_taken_for_another(tmp_path: Path, wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="EMBEDDING_BASE_URL is empty"):
        async with open_embedder(EmbeddingSettings(**wrong), tmp_path):
            pass


async def test_spans_are_the_places_of_all_tokens(embedder: Embedder):
    text = "Ünïted  [SEP] naïveté,\n\u200bof 한국 — don't 中文!"
    spans = await embedder.token_spans(text)

    found = [text[start:end] for start, end in spans]
    assert " ".join(found[:6]) == "Ünïted [ SEP ] naïve té"
    assert found[-6:] == ["don", "'", "t", "中", "文", "!"]
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)
    assert await embedder.token_spans(" \n") == []


@pytest.mark.parametrize(
    "text", ["A lake, and a house. " * 9000, "数" * 2 * PIECE_CHARACTERS], ids=["words", "no space"]
)
def test_a_long_text_has_the_same_tokens_as_in_one_piece(text: str):
    assert len(text) > 2 * PIECE_CHARACTERS - 1
    assert token_spans(text) == load_tokenizer().encode(text, add_special_tokens=False).offsets


def test_counting_tokens_loads_no_model():
    code = (
        "import sys, app.adapters.wordpieces as w; print(len(w.token_spans('two words')), 'onnxruntime' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert said == "2 False\n"
