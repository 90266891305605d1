"""The learned sparse model: what it says of texts, and that it says the same whatever stands beside them."""

from collections.abc import AsyncIterator

import pytest

from app.adapters.sparse import SparseEncoder, open_sparse_encoder
from app.adapters.splade import MAX_PIECES, Expansion
from app.adapters.wordpieces import load_tokenizer
from app.settings import EmbeddingSettings, Settings


@pytest.fixture
async def encoder(settings: Settings) -> AsyncIterator[SparseEncoder]:
    async with open_sparse_encoder(settings.embedding, settings.data_dir / "models") as opened:
        assert opened is not None
        yield opened


def pieces(expansion: Expansion) -> list[str]:
    return [str(load_tokenizer().id_to_token(int(one))) for one in expansion.ids]


async def test_a_text_speaks_of_words_that_it_does_not_contain(encoder: SparseEncoder):
    found = await encoder.expand_query("Which bank lends money to farmers?")
    assert {"bank", "farmer"} & set(pieces(found)[:6])
    assert {"loan", "lend", "credit", "agricultural", "banks", "agriculture"} & set(pieces(found))
    assert list(found.weights) == sorted(found.weights, reverse=True)
    assert found.weights[-1] > 0
    words = [encoder.word(int(piece)) for piece in found.ids]
    assert "bank" in words
    assert all(word == piece for word, piece in zip(words, pieces(found), strict=True) if word is not None)
    assert not any(word and word.startswith("##") for word in words)


async def test_passages_come_in_their_order_and_do_not_depend_on_each_other(encoder: SparseEncoder):
    texts = ["A lamp. " * 300, "Bees dance.", "The lighthouse was built in 1871."]
    together = await encoder.expand_passages(texts)
    for text, found in zip(texts, together, strict=True):
        [alone] = await encoder.expand_passages([text])
        assert (found.ids == alone.ids).all()
        assert 0 < len(found.ids) <= MAX_PIECES
    assert "bees" in pieces(together[1])


async def test_what_is_switched_off_is_not_there(settings: Settings):
    off = EmbeddingSettings(sparse="off")
    async with open_sparse_encoder(off, settings.data_dir / "models") as encoder:
        assert encoder is None
