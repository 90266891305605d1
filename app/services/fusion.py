"""One ranked list out of several searches: raw scores of the same ranker are stretched over all that was found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from app.repositories.retrieval import Match, Weights

LEGS: Mapping[str, str] = {"dense": "dense", "text": "rank", "sparse": "sparse"}  # as `Match` calls what they say


def fused(found: Sequence[Sequence[Match]], weights: Weights, *, candidates: int) -> Sequence[Match]:
    """The best of all, best first, with scores that compare; a single list stays as it is."""
    lists = [matches for matches in found if matches]
    if len(lists) < 2:
        return lists[0] if lists else []
    everything = [match for matches in lists for match in matches]
    shares: list[Mapping[int, float]] = []
    total = 0.0
    for leg, column in LEGS.items():
        raw = {index: value for index, match in enumerate(everything) if (value := getattr(match, column)) is not None}
        weight = getattr(weights, leg)
        if raw and weight:
            total += weight
            shares.append({index: weight * share for index, share in _stretched(raw, candidates).items()})
    scored = [
        replace(match, score=sum(share.get(index, 0.0) for share in shares) / total if total else 0.0)
        for index, match in enumerate(everything)
    ]
    return sorted(scored, key=lambda match: (-match.score, match.id))


def _stretched(raw: Mapping[int, float], candidates: int) -> Mapping[int, float]:
    """To 0 to 1, as within one search: of few, the last is not stretched down to 0."""
    highest = max(raw.values())
    lowest = min(raw.values()) * min(1.0, len(raw) / candidates)
    if highest == lowest:
        return dict.fromkeys(raw, 1.0)
    return {index: (value - lowest) / (highest - lowest) for index, value in raw.items()}


def preferring(matches: Sequence[Match], bonus: Mapping[UUID, float]) -> Sequence[Match]:
    """What has a bonus, by the id of its document or memory, comes before what is as good otherwise."""
    if not bonus:
        return matches
    raised = [replace(match, score=match.score + bonus.get(match.document_id, 0.0)) for match in matches]
    highest = max((1.0, *(match.score for match in raised)))
    found = (replace(match, score=match.score / highest) for match in raised)
    return sorted(found, key=lambda match: (-match.score, match.id))
