"""What looks like an answer and is none: signs that tell the two apart."""

from uuid import uuid4

import pytest

from app.repositories.retrieval import Match
from app.services.answerability import answers_question, signs
from app.services.evidence import Passage, Quotation

TOWER = "Ada Thorne built the first tower on Gull Rock in 1871, north of the harbour."


def signs_of(question: str, said: str = TOWER, *, likeness: float = 0.7) -> dict[str, float]:
    return dict(signs(question, *found(said, likeness=likeness)))


def found(said: str, *, likeness: float = 0.7) -> tuple[list[Quotation], list[Passage]]:
    match = Match(
        id=uuid4(),
        document_id=uuid4(),
        title="Gull Rock",
        text=said,
        page=None,
        heading=None,
        char_start=0,
        char_end=len(said),
        score=1.0,
        dense=likeness,
        rank=None,
    )
    passage = Passage(1, match)
    return [Quotation(passage, 0, len(said), said, 1.0, likeness)], [passage]


def test_a_question_with_its_words_in_the_sentence_is_answered_and_one_with_the_opposite_is_not():
    assert answers_question("Who built the first tower on Gull Rock?", *found(TOWER))
    assert not answers_question("Who did not build the last tower south of Gull Rock?", *found(TOWER))
    assert not answers_question("Who built the first tower on Gull Rock?", *found(TOWER, likeness=0.1))
    assert not answers_question("Who built the first tower on Gull Rock?", [], [])


@pytest.mark.parametrize(
    ("sign", "trap", "plain"),
    [
        ("other word in its place", "Who built the stone tower?", "Who built the first tower?"),
        ("other number in its place", "Who built the second tower?", "Who built the first tower?"),
        ("names nowhere", "Who built the tower on Seal Rock?", "Who built the tower on Gull Rock?"),
        ("names not in the sentence", "Did Jonas Pell build it?", "Did Ada Thorne build it?"),
        ("other year", "Who built a tower in 1872?", "Who built a tower in 1871?"),
        ("negation", "Who never built a tower?", "Who built a tower?"),
        ("exclusion", "Who built it outside the harbour?", "Who built it in the harbour?"),
        ("opposite", "What is south of the harbour?", "What is north of the harbour?"),
    ],
)
def test_what_is_asked_for_and_not_said_is_counted(sign, trap, plain):
    assert signs_of(trap)[sign] > 0 == signs_of(plain)[sign]


def test_a_date_is_missed_where_one_is_asked_for_and_the_only_one_is_in_the_question():
    assert signs_of("When was the tower built?")["no date"] == 0
    assert signs_of("When was the tower of 1871 built?")["no date"] == 1
    assert signs_of("Who built the tower of 1871?")["no date"] == 0


def test_names_that_the_question_does_not_have_may_be_the_answer():
    assert signs_of("What stands there?")["names it has besides"] > signs_of("Who is Thorne?")["names it has besides"]


def test_the_kind_of_thing_that_is_asked_for_is_looked_for_in_the_sentence():
    kinds = [
        signs_of(asked)["kind in the sentence"] for asked in ("What tower is there?", "What bridge is there?", "Who?")
    ]
    assert kinds == [1, 0, 0.5]


def test_a_question_in_a_script_that_the_signs_do_not_know_is_not_refused_by_them():
    assert not answers_question("How high is it?", *found(TOWER, likeness=0.1))
    assert answers_question("塔有多高？", *found("这座塔高四十三米。", likeness=0.1))
    assert not answers_question("塔有多高？", [], [])


@pytest.mark.parametrize("question", ["", "?", "塔有多高？", "…", "It's A 1", "what which when"])
def test_any_question_has_signs(question):
    assert all(0 <= value < 10 for value in signs_of(question).values())
