"""Fits what `app/services/answerability.py` weighs, on the articles of one half, and measures it on the other half.

python -m benchmarks.answerability
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.resources import Resources
from app.schemas.search import SearchFields
from app.services.answerability import WEIGHTS, likelihood, signs
from app.services.answers import QUOTED_PASSAGES
from benchmarks.measuring import machine
from benchmarks.question_sets import Question, stored

FALSE_REFUSALS = 0.1
RIDGE = 3.0
STEPS = 30
Array = NDArray[np.float64]


async def signs_of(resources: Resources, user_id: UUID, question: Question) -> dict[str, float] | None:
    """None where the floor refuses already."""
    answers = resources.services.answers
    inquiry = await answers.look_up(user_id, question.text, SearchFields())
    if not inquiry.passages:
        return None
    ranked = await answers._evidence.rank_sentences(
        question.text, inquiry.passages[:QUOTED_PASSAGES], vector=inquiry.vector
    )
    return dict(signs(question.text, ranked, inquiry.passages))


def fit(values: Array, is_answerable: Array) -> tuple[Array, float]:
    """Weights and bias of a logistic regression, by Newton's method."""
    mean, spread = values.mean(0), values.std(0) + 1e-9
    scaled = np.c_[(values - mean) / spread, np.ones(len(values))]
    weights = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        sure = 1 / (1 + np.exp(-scaled @ weights))
        curve = (scaled * (sure * (1 - sure))[:, None]).T @ scaled + RIDGE * np.eye(len(weights))
        weights -= np.linalg.solve(curve, scaled.T @ (sure - is_answerable) + RIDGE * weights)
    raw = weights[:-1] / spread
    return raw, float(weights[-1] - raw @ mean)


def report(name: str, likely: Array, is_answerable: Array, least: float) -> None:
    refused = likely < least
    print(
        f"{name}: {refused[~is_answerable].mean():.1%} of the unanswerable questions refused, "
        f"{refused[is_answerable].mean():.1%} of the answerable ones"
    )


def halves(questions: Sequence[Question]) -> NDArray[np.bool_]:
    """Whether a question belongs to the first half: every other article."""
    articles = sorted({question.article for question in questions})
    return np.array([articles.index(question.article) % 2 == 0 for question in questions])


async def main() -> None:
    print(machine())
    async with stored("squad") as (resources, sets):
        found, user_id = sets["squad"]
        rows = [await signs_of(resources, user_id, question) for question in found.questions]
    work_out(found.questions, rows)


def work_out(questions: Sequence[Question], rows: Sequence[dict[str, float] | None]) -> None:
    is_answerable = np.array([question.is_answerable for question in questions])
    first, passed = halves(questions), np.array([row is not None for row in rows])
    values = np.array([[row[name] if row else 0.0 for name in WEIGHTS] for row in rows])
    weights, bias = fit(values[first & passed], is_answerable[first & passed].astype(float))
    likely = np.where(passed, 1 / (1 + np.exp(-values @ weights - bias)), 0.0)
    least = float(np.quantile(likely[first & is_answerable], FALSE_REFUSALS))
    print(f"BIAS {bias:.3f}, LEAST_LIKELY {least:.3f}")
    print({name: round(float(weight), 3) for name, weight in zip(WEIGHTS, weights, strict=True)})
    report("fitted half", likely[first], is_answerable[first], least)
    report("other half", likely[~first], is_answerable[~first], least)
    now = np.array([likelihood(row) if row else 0.0 for row in rows])
    for low in (0.3, 0.4, 0.45, 0.5, 0.55, 0.6):
        report(f"as it is, other half, below {low}", now[~first], is_answerable[~first], low)


if __name__ == "__main__":
    asyncio.run(main())
