"""Markers and quotations: which passages an answer points to, and the sentences there that bear it out."""

import asyncio
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from app.events import Citation
from app.repositories import OpenUnitOfWork
from app.repositories.answers import Standing
from app.repositories.retrieval import Excerpt
from app.schemas.query import SentenceRead
from app.services.evidence import Evidence, Passage, Quotation, Support, joined
from app.services.sentences import find_sentences

LONGEST_MARKER = 24  # code points that are held back at most, while they may become a marker

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


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of an answer with its markers, at `char_start`:`char_end` there; `text` is what it says."""

    char_start: int
    char_end: int
    text: str
    markers: Sequence[int]


def find_statements(answer: str) -> Sequence[Statement]:
    """The sentences of an answer; a marker belongs to the one that it stands in or behind."""
    bare = _MARKER.sub(lambda match: " " * len(match.group()), answer)
    spans = find_sentences(bare)
    if not spans:
        return []
    limits = [*(span.start for span in spans[1:]), len(answer)]
    return [
        Statement(
            span.start,
            span.start + len(answer[span.start : limit].rstrip()),
            " ".join(bare[span.start : span.end].split()),
            _numbers_in(answer[span.start : limit]),
        )
        for span, limit in zip(spans, limits, strict=True)
    ]


def _numbers_in(text: str) -> Sequence[int]:
    numbers = (int(number) for match in _MARKER.finditer(text) for number in re.findall(r"\d+", match[2]))
    return list(dict.fromkeys(numbers))


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer, the quotations that bear it out, and which of them bear out which of its sentences."""

    answer: str
    citations: Sequence[Citation]
    sentences: Sequence[SentenceRead]


class Citations:
    """Quotes passages; what is quoted was read in the stored text a moment before."""

    def __init__(self, uow: OpenUnitOfWork, evidence: Evidence) -> None:
        self._uow = uow
        self._evidence = evidence

    async def cite(self, question: str, answer: str, passages: Sequence[Passage]) -> Cited:
        """For each sentence the quotations from its passages, or from the passage that says it where it names none.

        One citation for each marker. Markers whose quotation does not stand any more are taken out.

        Raises:
            ServiceUnavailable: the embedding model does not answer.
        """
        statements = find_statements(answer)
        found = await asyncio.gather(*(self._bear_out(question, one, passages) for one in statements))
        chosen: dict[int, Quotation] = {}
        for support in (support for supports in found for support in supports):
            marker = support.quotation.passage.marker
            chosen[marker] = joined(chosen[marker], support.quotation) if marker in chosen else support.quotation
        citations = await self.check([chosen[marker] for marker in sorted(chosen)])
        standing = {citation.marker for citation in citations}
        supported = {
            statement.char_start: {
                support.quotation.passage.marker: support.suffices
                for support in supports
                if support.quotation.passage.marker in standing
            }
            for statement, supports in zip(statements, found, strict=True)
        }
        kept, places = _keep_markers(answer, statements, standing)
        sentences = [
            SentenceRead(char_start=start, char_end=end, citations=list(found), supported=any(found.values()))
            for (start, end), found in zip(places, supported.values(), strict=True)
        ]
        return Cited(kept, citations, sentences)

    async def check(self, quotations: Sequence[Quotation]) -> Sequence[Citation]:
        """Those quotations that stand word for word in the documents and memories now."""
        if not quotations:
            return []
        excerpts = [
            Excerpt(quotation.passage.match.document_id, quotation.char_start, quotation.char_end)
            for quotation in quotations
        ]
        async with self._uow() as uow:
            of_documents = await uow.answers.read_standing(excerpts)
            of_memories = await uow.recall.read_standing(excerpts)
        standing = [
            memory if quotation.passage.match.memory_id else document
            for quotation, document, memory in zip(quotations, of_documents, of_memories, strict=True)
        ]
        return [
            _citation(quotation, now)
            for quotation, now in zip(quotations, standing, strict=True)
            if now is not None and now.text == quotation.text
        ]

    async def _bear_out(self, question: str, statement: Statement, passages: Sequence[Passage]) -> Sequence[Support]:
        """From each passage that it names; else from the one that says the same, if there is one."""
        cited = [passage for passage in passages if passage.marker in statement.markers]
        supports = await self._evidence.weigh(question, statement.text, cited or passages)
        return supports if cited else [support for support in supports if support.suffices][:1]


def _keep_markers(
    answer: str, statements: Sequence[Statement], standing: Collection[int]
) -> tuple[str, Sequence[tuple[int, int]]]:
    """The answer without the markers of others, and where its statements are then."""
    if not statements:
        return "", []
    kept, places = "", []
    limits = [*(statement.char_start for statement in statements[1:]), len(answer)]
    for statement, limit in zip(statements, limits, strict=True):
        markers = MarkerFilter(standing)
        said = markers.feed(answer[statement.char_start : limit]) + markers.finish()
        places.append((len(kept), len(kept) + len(said.rstrip())))
        kept += said
    return kept, places


def without_markers(text: str) -> str:
    markers = MarkerFilter(())
    return markers.feed(text) + markers.finish()


def _citation(quotation: Quotation, now: Standing) -> Citation:
    match = quotation.passage.match
    return Citation(
        marker=quotation.passage.marker,
        document_id=None if match.memory_id else match.document_id,
        memory_id=match.memory_id,
        title=match.title,
        page=now.page,
        char_start=quotation.char_start,
        char_end=quotation.char_end,
        quote=quotation.text,
        document_version=now.version,
    )
