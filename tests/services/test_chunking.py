"""Passages of a text: what must hold for every text, and what makes them good."""

import itertools
import re
import time

from hypothesis import given
from hypothesis import strategies as st

from app.adapters.extraction import Extracted, Heading, Page
from app.services.chunking import chunk

SENTENCES = [f"Sentence number {number} speaks of boats." for number in range(200)]


def words(text: str) -> list[tuple[int, int]]:
    """A tokenizer: words in pieces of at most four characters, and single marks."""
    return [match.span() for match in re.finditer(r"\w{1,4}|[^\w\s]", text)]


def document(text: str, headings: tuple[Heading, ...] = (), pages: tuple[Page, ...] = ()) -> Extracted:
    return Extracted(text, pages, headings, None)


@st.composite
def documents(draw) -> Extracted:
    text = draw(st.text(alphabet="abcdefgh  ..!\n\n\t\u3002é\u0301\u200d", max_size=500))
    lines = [0, *(match.end() for match in re.finditer("\n", text) if match.end() < len(text))]
    chosen = draw(st.sets(st.sampled_from(lines), max_size=5)) if text else set()
    headings = tuple(Heading(draw(st.integers(1, 3)), f"h{place}", place) for place in sorted(chosen))
    bounds = [0, *sorted(draw(st.sets(st.integers(0, len(text)), max_size=3))), len(text)]
    pages = tuple(Page(number, *span) for number, span in enumerate(itertools.pairwise(bounds), start=1))
    return document(text, headings, pages if draw(st.booleans()) else ())


@given(documents(), st.integers(1, 40), st.integers(0, 20))
def test_passages_are_slices_that_hold_every_visible_character(extracted, max_tokens, overlap):
    chunks = chunk(extracted, words(extracted.text), max_tokens=max_tokens, overlap=overlap)

    held = set()
    for passage in chunks:
        assert passage.text == extracted.text[passage.char_start : passage.char_end]
        assert passage.text.strip() == passage.text != ""
        held.update(range(passage.char_start, passage.char_end))
    visible = {place for place, character in enumerate(extracted.text) if not character.isspace()}
    assert visible <= held


@given(documents(), st.integers(1, 40), st.integers(0, 20))
def test_passages_go_forward_and_keep_within_the_limits(extracted, max_tokens, overlap):
    spans = words(extracted.text)

    chunks = chunk(extracted, spans, max_tokens=max_tokens, overlap=overlap)

    assert [passage.ordinal for passage in chunks] == list(range(len(chunks)))
    for passage in chunks:
        inside = [span for span in spans if passage.char_start <= span[0] < passage.char_end]
        assert passage.token_count == len(inside) <= max_tokens
    for before, after in itertools.pairwise(chunks):
        assert before.char_start < after.char_start
        assert before.char_end < after.char_end
        shared = [span for span in spans if after.char_start <= span[0] < before.char_end]
        assert len(shared) <= overlap


@given(documents(), st.integers(5, 40))
def test_pages_and_headings_are_those_of_the_place(extracted, max_tokens):
    for passage in chunk(extracted, words(extracted.text), max_tokens=max_tokens, overlap=2):
        if not extracted.pages:
            assert (passage.page, passage.page_end) == (None, None)
            continue
        first, last = passage.char_start, passage.char_end - 1
        pages = {page.number: page for page in extracted.pages}
        assert pages[passage.page].char_start <= first < pages[passage.page].char_end
        assert pages[passage.page_end].char_start <= last < pages[passage.page_end].char_end
        above = [heading for heading in extracted.headings if heading.char_start <= first]
        assert (passage.heading or "").endswith(above[-1].text if above else "")


def test_a_passage_ends_with_a_sentence_and_the_next_begins_with_its_last_one():
    text = " ".join(SENTENCES)

    chunks = chunk(document(text), words(text), max_tokens=100, overlap=15)

    assert all(passage.text.startswith("Sentence") and passage.text.endswith("boats.") for passage in chunks)
    assert all(passage.token_count > 50 for passage in chunks[:-1])
    assert all(after.char_start < before.char_end for before, after in itertools.pairwise(chunks))


def test_the_end_of_a_paragraph_is_better_than_that_of_a_sentence():
    text = "\n\n".join(" ".join(SENTENCES[start : start + 6]) for start in range(0, 60, 6))

    chunks = chunk(document(text), words(text), max_tokens=80, overlap=0)

    assert [passage.text for passage in chunks] == text.split("\n\n")


def test_a_heading_begins_a_passage_and_stands_over_those_that_follow():
    parts = [f"Part {number}\n\n" + " ".join(SENTENCES[:12]) for number in (1, 2)]
    text = "\n\n".join(parts)
    headings = (Heading(1, "Book", 0), Heading(2, "Part 1", 0), Heading(2, "Part 2", text.index("Part 2")))

    chunks = chunk(document(text, headings), words(text), max_tokens=100, overlap=10)

    assert [passage.heading for passage in chunks] == ["Book > Part 1"] * 2 + ["Book > Part 2"] * 2
    assert chunks[2].text.startswith("Part 2\n\nSentence")


def test_short_sections_share_a_passage():
    text = "\n\n".join(f"Heading {number}\n\nOne line." for number in range(20))
    headings = tuple(Heading(1, match[0], match.start()) for match in re.finditer(r"Heading \d+", text))

    chunks = chunk(document(text, headings), words(text), max_tokens=100, overlap=0)

    assert 3 <= len(chunks) <= 6
    assert all(passage.text.startswith("Heading") for passage in chunks)


def test_a_passage_over_a_page_break_names_both_pages():
    text = " ".join(SENTENCES[:10])
    middle = text.index("Sentence number 5")
    pages = (Page(7, 0, middle - 1), Page(8, middle, len(text)))

    (passage,) = chunk(document(text, pages=pages), words(text), max_tokens=1000, overlap=10)

    assert (passage.page, passage.page_end) == (7, 8)


def test_data_that_is_one_long_word_is_cut_by_its_length():
    text = "Key: " + "A1" * 50_000

    one_token = chunk(document(text), [(0, 3), (3, 4), (5, len(text))], max_tokens=200, overlap=20)
    no_token = chunk(document(text), [(0, 3), (3, 4)], max_tokens=200, overlap=20)

    for chunks in (one_token, no_token):
        assert max(len(passage.text) for passage in chunks) <= 600
        assert chunks[-1].char_end == len(text)


def test_nothing_and_white_space_have_no_passages():
    assert chunk(document(""), [], max_tokens=10, overlap=2) == []
    assert chunk(document(" \n\t "), [], max_tokens=10, overlap=2) == []


def test_a_long_book_is_cut_in_linear_time():
    text = " ".join(SENTENCES) * 150
    spans = words(text)
    started = time.process_time()

    chunks = chunk(document(text), spans, max_tokens=250, overlap=30)

    assert len(chunks) > 1000
    assert time.process_time() - started < 5
