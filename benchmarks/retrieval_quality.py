"""How well passages are found: nDCG@10 of each ranker and of both together, through the service.

python -m benchmarks.retrieval_quality [SET …]
"""

import asyncio
import math
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from uuid import UUID

from app.repositories.retrieval import Match
from app.resources import Resources
from app.schemas.search import SearchFields
from benchmarks.measuring import machine, percentiles
from benchmarks.question_sets import QuestionSet, stored

SETS = ("squad", "cranfield", "medline")
MOST_QUESTIONS = 600
EVERYTHING = SearchFields(top_k=100)


def ndcg(ranked: Sequence[str], relevant: Mapping[str, float]) -> float:
    """Of the first ten."""
    gained = sum(relevant.get(one, 0.0) / math.log2(place + 2) for place, one in enumerate(ranked[:10]))
    best = sorted(relevant.values(), reverse=True)[:10]
    return gained / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


def rankings(matches: Sequence[Match]) -> dict[str, list[str]]:
    by_meaning = sorted(matches, key=lambda match: -(match.dense or -1.0))
    by_words = sorted((match for match in matches if match.rank), key=lambda match: -(match.rank or 0.0))
    orders = {"dense": by_meaning, "text": by_words, "fused": matches}
    return {name: [match.title for match in order] for name, order in orders.items()}


async def measure(resources: Resources, questions: QuestionSet, user_id: UUID) -> None:
    asked = questions.answerable()
    random.Random(1).shuffle(asked)
    scores: dict[str, list[float]] = {"dense": [], "text": [], "fused": []}
    took = []
    for question in asked[:MOST_QUESTIONS]:
        found = await resources.services.retrieval.find(user_id, question.text, EVERYTHING)
        took.append(sum(found.timings_ms.values()) / 1000)
        for name, ranked in rankings(found.matches).items():
            scores[name].append(ndcg(ranked, questions.relevant[question.id]))
    means = "".join(f"{statistics.mean(values):>8.3f}" for values in scores.values())
    print(f"{questions.name:<12}{len(questions.passages):>9}{len(took):>10}{means}   {percentiles(took)}")


async def main() -> None:
    print(machine())
    async with stored(*(sys.argv[1:] or SETS)) as (resources, sets):
        print("set          passages questions   dense    text   fused   p50 / p95 of a search for 100")
        for questions, user_id in sets.values():
            await measure(resources, questions, user_id)


if __name__ == "__main__":
    asyncio.run(main())
