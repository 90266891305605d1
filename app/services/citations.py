"""Markers and quotations: which passages an answer points to, and the sentences there that bear it out."""

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence

from app.events import Citation
from app.repositories import OpenUnitOfWork
from app.repositories.retrieval import Excerpt
from app.services.evidence import Evidence, Passage, Quotation
from app.services.sentences import find_sentences

LONGEST_MARKER = 24  # code points that are held back at most, while they may become a marker
LONGEST_CLAIM = 1000  # code points before a marker that may be what it bears out

_MARKER = re.compile(r"( ?)\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")
_UNFINISHED = re.compile(r" ?(?:\[[\d\s,;]*)?\Z")


class MarkerFilter:
    """Lets an answer through as it comes, with known markers only, each written `[n]`.

    What is let through never has to be taken back: something that may become a marker waits until that is known.
    """

    def __init__(self, known: Collection[int]) -> None:
        self._known = known
        self._waiting = ""
        self._used: dict[int, None] = {}

    @property
    def used(self) -> Sequence[int]:
        """Markers so far, in the order of their first use."""
        return list(self._used)

    def feed(self, piece: str) -> str:
        """What of the answer can be shown now."""
        text = self._waiting + piece
        unfinished = _UNFINISHED.search(text)
        cut = unfinished.start() if unfinished and len(unfinished.group()) <= LONGEST_MARKER else len(text)
        self._waiting = text[cut:]
        return _MARKER.sub(self._replace, text[:cut])

    def finish(self) -> str:
        """What was still held back."""
        rest, self._waiting = self._waiting, ""
        return rest

    def _replace(self, match: re.Match[str]) -> str:
        numbers = [number for number in map(int, re.findall(r"\d+", match[2])) if number in self._known]
        self._used.update(dict.fromkeys(numbers))
        return match[1] + "".join(f"[{number}]" for number in numbers) if numbers else ""


def find_claims(answer: str) -> Mapping[int, str]:
    """What stands before each marker: the sentences that it is put behind, however the marker follows them."""
    claims: dict[int, str] = {}
    for match in _MARKER.finditer(answer):
        before = _MARKER.sub("", answer[max(0, match.start() - LONGEST_CLAIM) : match.start()])
        sentences = find_sentences(before)
        claim = before[sentences[-1].start : sentences[-1].end] if sentences else ""
        for number in map(int, re.findall(r"\d+", match[2])):
            claims[number] = f"{claims.get(number, '')} {claim}".strip()
    return claims


class Citations:
    """Quotes passages; what is quoted was read in the stored text a moment before."""

    def __init__(self, uow: OpenUnitOfWork, evidence: Evidence) -> None:
        self._uow = uow
        self._evidence = evidence

    async def cite(self, question: str, answer: str, passages: Sequence[Passage]) -> Sequence[Citation]:
        """For each marker of `answer` the sentence of its passage that says best what the answer claims.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        claims = find_claims(answer)
        cited = [passage for passage in passages if passage.marker in claims]
        ranked = await asyncio.gather(
            *(self._evidence.rank_sentences(f"{claims[passage.marker]} {question}", [passage]) for passage in cited)
        )
        return await self.check([sentences[0] for sentences in ranked if sentences])

    async def check(self, quotations: Sequence[Quotation]) -> Sequence[Citation]:
        """Those quotations that stand word for word in the documents now."""
        if not quotations:
            return []
        excerpts = [
            Excerpt(quotation.passage.match.document_id, quotation.char_start, quotation.char_end)
            for quotation in quotations
        ]
        async with self._uow() as uow:
            standing = await uow.retrieval.read_excerpts(excerpts)
        return [
            _citation(quotation, now.page)
            for quotation, now in zip(quotations, standing, strict=True)
            if now is not None and now.text == quotation.text
        ]


def without_markers(text: str) -> str:
    markers = MarkerFilter(())
    return markers.feed(text) + markers.finish()


def quoting_line(citation: Citation) -> str:
    """The quotation for an answer: on one line, with its own marker alone, and where it is from."""
    quote = without_markers(" ".join(citation.quote.split()))
    where = citation.title if citation.page is None else f"{citation.title}, page {citation.page}"
    return f"\u201c{quote}\u201d [{citation.marker}] ({' '.join(where.split())})"


def _citation(quotation: Quotation, page: int | None) -> Citation:
    match = quotation.passage.match
    return Citation(
        marker=quotation.passage.marker,
        document_id=match.document_id,
        title=match.title,
        page=page,
        char_start=quotation.char_start,
        char_end=quotation.char_end,
        quote=quotation.text,
    )
