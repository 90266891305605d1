"""Fits what `app/services/answerability.py` weighs, and measures it on articles that were left out of the fitting.

python -m benchmarks.answerability
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.resources import Resources
from app.schemas.search import SearchFields
from app.services.answerability import LEAST_LIKELY, WEIGHTS, likelihood, signs
from app.services.answers import QUOTED_PASSAGES
from benchmarks.measuring import machine
from benchmarks.question_sets import Question, stored

FALSE_REFUSALS = 0.1
RIDGE = 3.0
STEPS = 30
FOLDS = 10
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fitted:
    weights: Array
    bias: float
    least: float

    def refuses(self, values: Array, passed: Mask) -> Mask:
        """`passed`: what the floor let through."""
        return ~passed | (_likely(values @ self.weights + self.bias) < self.least)


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


def fit_refusing(values: Array, passed: Mask, is_answerable: Mask) -> Fitted:
    """Refuses FALSE_REFUSALS of the answerable questions given, those included that the floor refuses."""
    weights, bias = fit(values[passed], is_answerable[passed].astype(float))
    likely = np.where(passed, _likely(values @ weights + bias), 0.0)
    return Fitted(weights, bias, float(np.quantile(likely[is_answerable], FALSE_REFUSALS)))


def _likely(scores: Array) -> Array:
    likely: Array = 1 / (1 + np.exp(-scores))
    return likely


def report(name: str, refused: Mask, is_answerable: Mask) -> None:
    print(
        f"{name}: {refused[~is_answerable].mean():.1%} of the unanswerable questions refused, "
        f"{refused[is_answerable].mean():.1%} of the answerable ones"
    )


def first_half(questions: Sequence[Question]) -> Mask:
    """Whether a question belongs to the first half: every other article."""
    articles = sorted({question.article for question in questions})
    return np.array([articles.index(question.article) % 2 == 0 for question in questions])


def folds(questions: Sequence[Question]) -> list[Mask]:
    """Whether a question belongs to each: whole articles, dealt out by how many unanswerable questions they have."""
    traps = Counter({question.article: 0 for question in questions})
    traps.update(question.article for question in questions if not question.is_answerable)
    articles = [article for article, _ in traps.most_common()]
    of = np.array([articles.index(question.article) % FOLDS for question in questions])
    return [of == number for number in range(FOLDS)]


async def main() -> None:
    print(machine())
    async with stored("squad") as (resources, sets):
        found, user_id = sets["squad"]
        rows = [await signs_of(resources, user_id, question) for question in found.questions]
    work_out(found.questions, rows)


def work_out(questions: Sequence[Question], rows: Sequence[dict[str, float] | None]) -> None:
    is_answerable = np.array([question.is_answerable for question in questions])
    passed = np.array([row is not None for row in rows])
    values = np.array([[row[name] if row else 0.0 for name in WEIGHTS] for row in rows])
    report("the floor alone", ~passed, is_answerable)
    first = first_half(questions)
    for name, own in (("fitted on the first half", first), ("fitted on the second half", ~first)):
        refused = fit_refusing(values[own], passed[own], is_answerable[own]).refuses(values, passed)
        report(f"{name}, itself", refused[own], is_answerable[own])
        report(f"{name}, the other half", refused[~own], is_answerable[~own])
    left_out = np.zeros(len(questions), np.bool_)
    for part in folds(questions):
        fitted = fit_refusing(values[~part], passed[~part], is_answerable[~part])
        left_out[part] = fitted.refuses(values[part], passed[part])
    report(f"{FOLDS} times a tenth of the articles left out, together", left_out, is_answerable)
    by_article(questions, left_out, is_answerable)
    now = np.array([likelihood(row) if row else 0.0 for row in rows])
    report("as it is (fitted on all of them)", now < LEAST_LIKELY, is_answerable)
    best = fit_refusing(values, passed, is_answerable)
    print(f"BIAS {best.bias:.3f}, LEAST_LIKELY {best.least:.3f}")
    print({name: round(float(weight), 3) for name, weight in zip(WEIGHTS, best.weights, strict=True)})


def by_article(questions: Sequence[Question], refused: Mask, is_answerable: Mask) -> None:
    """How far articles differ: of both shares the mean, the standard deviation, and the extremes."""
    articles = np.array([question.article for question in questions])
    for name, kind in (("unanswerable", ~is_answerable), ("answerable", is_answerable)):
        shares = np.array([refused[kind & (articles == one)].mean() for one in sorted(set(articles[kind]))])
        print(
            f"{name} questions refused, by article: mean {shares.mean():.1%}, deviation {shares.std():.1%}, "
            f"{shares.min():.1%} to {shares.max():.1%} ({len(shares)} articles)"
        )


if __name__ == "__main__":
    asyncio.run(main())
