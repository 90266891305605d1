"""Sentences, markers and claims: what is quoted stands there, and what is let through never has to be taken back."""

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from app.services.citations import MarkerFilter, find_statements
from app.services.sentences import LONGEST, find_sentences
from app.services.terms import terms

answers = st.lists(st.sampled_from(["[1]", "[2]", "[9]", "[1, 2]", "[2;9]", "[", "]", " ", "1", "a. ", "\n", "["]))


def sentences(text: str) -> list[str]:
    return [text[span.start : span.end] for span in find_sentences(text)]


def filtered(pieces: list[str], known: set[int]) -> tuple[str, MarkerFilter]:
    markers = MarkerFilter(known)
    return "".join(map(markers.feed, pieces)) + markers.finish(), markers


def test_abbreviations_numbers_and_initials_end_no_sentence():
    text = "Dr. J. Smith paid $3.14 in the U.S. in 2004. See Fig. 3 (e.g. there). Was it No. 5? “No.” It was 7."
    assert sentences(text) == [
        "Dr. J. Smith paid $3.14 in the U.S. in 2004.",
        "See Fig. 3 (e.g. there).",
        "Was it No. 5?",
        "“No.”",
        "It was 7.",
    ]


def test_sentences_end_in_every_script_at_paragraphs_and_at_list_items():
    assert sentences("東京は首都です。人口は1400万人。") == ["東京は首都です。", "人口は1400万人。"]
    assert sentences("यह सच है। हाँ। ما هذا؟ نعم.") == ["यह सच है।", "हाँ।", "ما هذا؟", "نعم."]
    assert sentences("# Lamps\n\nOne line\nand more\n- first\n2. second") == [
        "# Lamps",
        "One line\nand more",
        "- first",
        "2. second",
    ]


@given(st.text(alphabet="ab .!?\n。[1]", max_size=300) | st.text(max_size=3000))
def test_no_text_is_lost_between_sentences_and_none_is_too_long(text: str):
    spans = find_sentences(text)
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    assert all(0 < span.end - span.start <= LONGEST for span in spans)
    assert all(one.end <= other.start for one, other in itertools.pairwise(spans))


def test_words_in_other_forms_are_the_same_terms():
    assert terms("The keepers lighted two lamps") == terms("a keeper lighting two lamp's")
    assert terms("what is it") == set()
    assert terms("東京都") == {"東京", "京都"}


def test_markers_take_one_form_and_unknown_ones_vanish():
    shown, _ = filtered(["Both hold [1, 3], one [2][7] and none [9]."], {1, 2, 3})
    assert shown == "Both hold [1][3], one [2] and none."


def test_what_may_become_a_marker_waits_and_everything_else_goes_through_at_once():
    markers = MarkerFilter({1})
    assert [markers.feed(piece) for piece in ("It is red", " [", "1", "] and", " list[a", "]")] == [
        "It is red",
        "",
        "",
        " [1] and",
        " list[a",
        "]",
    ]


@given(answers, st.data())
def test_however_an_answer_is_cut_the_same_comes_through(parts: list[str], data: st.DataObject):
    answer = "".join(parts)
    cut = data.draw(st.integers(0, len(answer)))
    whole, _ = filtered([answer], {1, 2})
    assert filtered([answer[:cut], answer[cut:]], {1, 2})[0] == whole == filtered(list(answer), {1, 2})[0]
    assert set(re.findall(r"\[(\d+)\]", whole)) <= {"1", "2"}


def test_a_marker_belongs_to_the_sentence_that_it_stands_in_or_behind():
    answer = "The lamp is red [1]. It burns oil. [2] Both are old [1, 3].[2] Nobody knows."
    told = find_statements(answer)
    assert [(one.text, one.markers) for one in told] == [
        ("The lamp is red .", [1]),
        ("It burns oil.", [2]),
        ("Both are old .", [1, 3, 2]),
        ("Nobody knows.", []),
    ]
    assert [answer[one.char_start : one.char_end] for one in told] == [
        "The lamp is red [1].",
        "It burns oil. [2]",
        "Both are old [1, 3].[2]",
        "Nobody knows.",
    ]
    assert find_statements("") == find_statements(" [1] ") == []
