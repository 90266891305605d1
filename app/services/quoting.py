"""What is said where there is no language model: the best sentences as they stand, and where else to look."""

from collections.abc import Sequence, Set

from app.events import Citation
from app.schemas.query import SentenceRead
from app.services.citations import without_markers

NOT_FOUND = "I could not find this in your documents."
NEAREST = "I could not find an answer to this in your documents. What comes nearest:"


def quoted_answer(
    citations: Sequence[Citation], quoted: Set[int], *, is_found: bool
) -> tuple[str, Sequence[SentenceRead]]:
    """The answer and its sentences: those with the markers `quoted` stand in it, the others are pointed to."""
    lines = [_quoting_line(citation) for citation in citations if citation.marker in quoted]
    cited = [[citation.marker] for citation in citations if citation.marker in quoted]
    further = [citation for citation in citations if citation.marker not in quoted]
    if further:
        lines.append("See also " + "; ".join(f"[{citation.marker}] ({_place(citation)})" for citation in further))
        cited.append([citation.marker for citation in further])
    if not is_found or not lines:
        lines.insert(0, NEAREST if lines else NOT_FOUND)
        cited.insert(0, [])
    sentences: list[SentenceRead] = []
    start = 0
    for line, markers in zip(lines, cited, strict=True):
        end = start + len(line)
        sentences.append(SentenceRead(char_start=start, char_end=end, citations=markers, supported=bool(markers)))
        start = end + len("\n\n")
    return "\n\n".join(lines), sentences


def _quoting_line(citation: Citation) -> str:
    """The quotation on one line, with its own marker alone, and where it is from."""
    quote = without_markers(" ".join(citation.quote.split()))
    return f"\u201c{quote}\u201d [{citation.marker}] ({_place(citation)})"


def _place(citation: Citation) -> str:
    where = citation.title if citation.page is None else f"{citation.title}, page {citation.page}"
    return " ".join(where.split())
