"""What is answered and what is refused without a language model, and whether the quotation holds the answer.

python -m benchmarks.answer_quality
"""

import asyncio
import random
import time
from collections.abc import Sequence
from uuid import UUID

from app.permissions import Principal
from app.resources import Resources
from app.schemas.query import QueryResult
from app.schemas.search import SearchFields
from app.services.answers import AnswerService, Inquiry
from app.services.evidence import choose_passages
from app.services.prompts import MOST_CHARACTERS
from benchmarks.measuring import machine
from benchmarks.question_sets import Question, QuestionSet, stored

SAMPLE = 300
ELSEWHERE = ("cranfield", "medline")  # questions about aerodynamics and medicine, asked of an encyclopedia
TEN = SearchFields()
HUNDRED = SearchFields(top_k=100)


async def quoted(answers: AnswerService, user_id: UUID, inquiry: Inquiry) -> Sequence[str] | None:
    """The quotations that answer it; None when it is refused, which may still show what comes nearest."""
    if not inquiry.passages:
        return None
    result = [part async for part in answers.tell(Principal(user_id, ""), inquiry, None)][-1]
    assert isinstance(result, QueryResult)
    return [citation.quote for citation in result.citations] if result.grounded else None


async def asked(answers: AnswerService, user_id: UUID, question: Question) -> Sequence[str] | None:
    return await quoted(answers, user_id, await answers.look_up(user_id, question.text, TEN))


def holds_answer(quotes: Sequence[str], question: Question) -> bool:
    said = " ".join(" ".join(quotes).lower().split())
    return any(" ".join(answer.lower().split()) in said for answer in question.answers)


async def without_its_article(resources: Resources, user_id: UUID, question: Question) -> Inquiry:
    """What is found for it in the other articles."""
    found = await resources.services.retrieval.find(user_id, question.text, HUNDRED)
    others = [match for match in found.matches if not match.title.startswith(f"{question.article}#")]
    passages = choose_passages(question.text, others[: TEN.top_k], most_characters=MOST_CHARACTERS)
    return Inquiry(question.text, passages, found.vector, {}, time.perf_counter())


def sample(questions: Sequence[Question]) -> list[Question]:
    return random.Random(1).sample(questions, min(SAMPLE, len(questions)))


def report(name: str, passed: Sequence[bool], replies: Sequence[Sequence[str] | None]) -> None:
    """`passed`: whether the floor let them through, which is all that a language model has before it."""
    answered = sum(reply is not None for reply in replies) / len(replies)
    print(f"{name}: {answered:.1%} answered ({sum(passed) / len(passed):.1%} by the floor alone)")


async def measure(resources: Resources, questions: QuestionSet, user_id: UUID, elsewhere: Sequence[Question]) -> None:
    answers = resources.services.answers
    answerable = sample(questions.answerable())
    outcomes = [(question, await asked(answers, user_id, question)) for question in answerable]
    answered = [(question, quotes) for question, quotes in outcomes if quotes is not None]
    held = sum(holds_answer(quotes, question) for question, quotes in answered)
    refused = 1 - len(answered) / len(outcomes)
    print(f"answerable: {refused:.1%} refused, {held / len(answered):.1%} of the answers quote the right words")
    traps = sample([one for one in questions.questions if not one.is_answerable])
    inquiries = {
        "the same, their article taken away": [
            await without_its_article(resources, user_id, question) for question in answerable
        ],
        "of other fields": [await answers.look_up(user_id, one.text, TEN) for one in sample(elsewhere)],
        "made to look answerable": [await answers.look_up(user_id, one.text, TEN) for one in traps],
    }
    for name, several in inquiries.items():
        replies = [await quoted(answers, user_id, inquiry) for inquiry in several]
        report(name, [bool(inquiry.passages) for inquiry in several], replies)


async def main() -> None:
    print(machine())
    async with stored("squad", *ELSEWHERE) as (resources, sets):
        questions, user_id = sets["squad"]
        elsewhere = [question for name in ELSEWHERE for question in sets[name][0].questions]
        await measure(resources, questions, user_id, elsewhere)


if __name__ == "__main__":
    asyncio.run(main())
