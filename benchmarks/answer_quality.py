"""What is answered and what is refused without a language model, and whether the quotation holds the answer.

python -m benchmarks.answer_quality
"""

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

from app.permissions import Principal
from app.resources import Resources
from app.schemas.search import SearchFields
from app.services.answers import AnswerService
from app.services.evidence import choose_passages
from app.services.prompts import MOST_CHARACTERS
from benchmarks.measuring import machine
from benchmarks.question_sets import Question, QuestionSet, stored

SAMPLE = 300
ELSEWHERE = ("cranfield", "medline")  # questions about aerodynamics and medicine, asked of an encyclopedia
TEN = SearchFields()
HUNDRED = SearchFields(top_k=100)


async def quoted(answers: AnswerService, user_id: UUID, question: Question) -> Sequence[str] | None:
    """The quotations that answer it; None when it is refused."""
    inquiry = await answers.look_up(user_id, question.text, TEN)
    if not inquiry.passages:
        return None
    parts = [part async for part in answers.tell(Principal(user_id, ""), inquiry, [])]
    return [citation.quote for citation in parts[-1].citations]


def holds_answer(quotes: Sequence[str], question: Question) -> bool:
    said = " ".join(" ".join(quotes).lower().split())
    return any(" ".join(answer.lower().split()) in said for answer in question.answers)


async def would_answer_without_its_article(resources: Resources, user_id: UUID, question: Question) -> bool:
    found = await resources.services.retrieval.find(user_id, question.text, HUNDRED)
    others = [match for match in found.matches if not match.title.startswith(f"{question.article}#")]
    return bool(choose_passages(question.text, others[: TEN.top_k], most_characters=MOST_CHARACTERS))


def sample(questions: Sequence[Question]) -> list[Question]:
    return random.Random(1).sample(questions, min(SAMPLE, len(questions)))


async def measure(resources: Resources, questions: QuestionSet, user_id: UUID, elsewhere: Sequence[Question]) -> None:
    answers = resources.services.answers
    answerable = sample(questions.answerable())
    outcomes = [(question, await quoted(answers, user_id, question)) for question in answerable]
    answered = [(question, quotes) for question, quotes in outcomes if quotes is not None]
    held = sum(holds_answer(quotes, question) for question, quotes in answered)
    refused = 1 - len(answered) / len(outcomes)
    print(f"answerable: {refused:.1%} refused, {held / len(answered):.1%} of the answers quote the right words")
    without = [await would_answer_without_its_article(resources, user_id, question) for question in answerable]
    print(f"the same, their article taken away: {sum(without) / len(without):.1%} answered")
    for name, asked in (
        ("of other fields", sample(elsewhere)),
        ("made to look answerable", sample([one for one in questions.questions if not one.is_answerable])),
    ):
        replies = [await quoted(answers, user_id, question) for question in asked]
        print(f"{name}: {sum(reply is not None for reply in replies) / len(replies):.1%} answered")


async def main() -> None:
    print(machine())
    async with stored("squad", *ELSEWHERE) as (resources, sets):
        questions, user_id = sets["squad"]
        elsewhere = [question for name in ELSEWHERE for question in sets[name][0].questions]
        await measure(resources, questions, user_id, elsewhere)


if __name__ == "__main__":
    asyncio.run(main())
