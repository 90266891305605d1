"""How well passages are found: nDCG@10 and recall@5 of each ranker and of all together, through the service.

python -m benchmarks.retrieval_quality [SET …]
"""

import asyncio
import math
import os
import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from app.repositories.retrieval import Match
from app.resources import Resources
from app.schemas.search import SearchFields
from benchmarks.measuring import machine, percentiles
from benchmarks.question_sets import QuestionSet, stored

ENGLISH = ("squad", "cranfield", "locomo", "medline", "vaswani", "mtrag-un")
LANGUAGES = tuple(f"xquad/{language}" for language in ("en", "es", "ru", "ar", "hi", "zh"))
MOST_QUESTIONS = int(os.environ.get("MOST_QUESTIONS", "400"))
EVERYTHING = SearchFields(top_k=100)

Ranked = Sequence[str]
Relevant = Mapping[str, float]


def ndcg(ranked: Ranked, relevant: Relevant) -> float:
    """Of the first ten."""
    gained = sum(relevant.get(one, 0.0) / math.log2(place + 2) for place, one in enumerate(ranked[:10]))
    best = sorted(relevant.values(), reverse=True)[:10]
    return gained / sum(grade / math.log2(place + 2) for place, grade in enumerate(best))


def recall(ranked: Ranked, relevant: Relevant) -> float:
    """How many of the relevant passages are among the first five, of as many as could be."""
    return sum(one in relevant for one in ranked[:5]) / min(5, len(relevant))


MEASURES: Mapping[str, Callable[[Ranked, Relevant], float]] = {"nDCG@10": ndcg, "R@5": recall}


def rankings(matches: Sequence[Match]) -> dict[str, list[str]]:
    orders: dict[str, Sequence[Match]] = {
        leg: sorted((match for match in matches if leg in match.places), key=lambda match: match.places[leg])
        for leg in ("dense", "text", "sparse")
    }
    return {name: [match.title for match in order] for name, order in {**orders, "fused": matches}.items()}


async def measure(resources: Resources, questions: QuestionSet, user_id: UUID) -> dict[str, float]:
    """The mean of each measure of the fused ranking."""
    asked = questions.answerable()
    random.Random(1).shuffle(asked)
    scores: dict[str, dict[str, list[float]]] = {name: {} for name in MEASURES}
    took = []
    for question in asked[:MOST_QUESTIONS]:
        found = await resources.services.retrieval.find(user_id, question.text, EVERYTHING)
        took.append(sum(found.timings_ms.values()) / 1000)
        for leg, ranked in rankings(found.matches).items():
            for name, judge in MEASURES.items():
                scores[name].setdefault(leg, []).append(judge(ranked, questions.relevant[question.id]))
    columns = [
        "".join(f"{statistics.mean(values):>7.3f}" for values in of_legs.values()) for of_legs in scores.values()
    ]
    counts = f"{questions.name:<12}{len(questions.passages):>7}{len(took):>5}"
    print(f"{counts}  {'  |'.join(columns)}   {percentiles(took)}", flush=True)
    return {name: statistics.mean(of_legs["fused"]) for name, of_legs in scores.items()}


async def main() -> None:
    print(machine())
    legs = "  dense   text sparse  fused"
    print(f"set      passages  asked  {legs} of nDCG@10 {legs} of R@5   p50 / p95 of a search for 100")
    found: dict[str, dict[str, float]] = {}
    async with stored(*(sys.argv[1:] or (*ENGLISH, *LANGUAGES))) as (resources, sets):
        for name, (questions, user_id) in sets.items():
            found[name] = await measure(resources, questions, user_id)
    if set(ENGLISH) <= set(found):
        print(
            f"mean nDCG@10 over the six English sets: {statistics.mean(found[one]['nDCG@10'] for one in ENGLISH):.3f}"
        )


if __name__ == "__main__":
    asyncio.run(main())
