"""The hybrid search: every ranker's best passages, fused by score, in one statement that sees what the caller may see.

Each leg (`dense`: nearest vectors, `text`: full text) gives its best candidates with a raw score, where more is better.
Raw scores are stretched to the range 0 to 1 within their leg, and a passage's score is their mean over the legs that
found any: fusing by score finds more than fusing by rank. A further ranker is one more leg.

Everything that is put together here into SQL is written here; what comes from outside is a parameter.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from uuid import UUID

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import ARRAY, Boolean, Integer, String, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import TypeEngine

LARGEST_SCAN = 10_000  # passages that are compared one by one; above, the vector index is walked
LONGEST_WALK = 40_000  # passages the walk may visit before it gives up on a narrow scope


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search: what `user_id` is a member of, further narrowed by whatever is not None.

    `metadata` holds keys that a document's metadata must have with equal values.
    """

    user_id: UUID
    project_ids: Sequence[UUID] | None = None
    document_ids: Sequence[UUID] | None = None
    media_type: str | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it tells documents of one project apart."""
        return not (self.document_ids is None and self.media_type is None and self.metadata is None)


@dataclass(frozen=True, slots=True)
class Probe:
    """What to search for: words, and their normalised vector by `model`; `candidates` is how deep each leg goes."""

    words: str
    vector: Sequence[float]
    model: str
    candidates: int


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that was found. `score` is 0 to 1 within this search; `dense` (cosine) and `rank` (ts_rank) are raw."""

    id: UUID
    document_id: UUID
    title: str
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    score: float
    dense: float | None
    rank: float | None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A stretch of a document's text, in code points."""

    document_id: UUID
    char_start: int
    char_end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What an excerpt says, and the page that it begins on, where there are pages."""

    text: str
    page: int | None


VISIBLE = "project_id IN (SELECT project_id FROM members WHERE user_id = :user_id)"

IN_SCOPE = f"""{VISIBLE}
    AND (CAST(:project_ids AS uuid[]) IS NULL OR project_id = ANY (:project_ids))
    AND (CAST(:document_ids AS uuid[]) IS NULL OR id = ANY (:document_ids))
    AND (CAST(:media_type AS text) IS NULL OR media_type = :media_type)
    AND (CAST(:metadata AS jsonb) IS NULL OR metadata @> :metadata)
"""

# Searchable documents have at least one passage, so :enough of them have enough passages. The settings hold until the
# end of the transaction; a plan must know its projects, for they differ by orders of size.
REACH = f"""
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', :ef_search, true),
    set_config('hnsw.max_scan_tuples', :longest_walk, true),
    ARRAY(SELECT project_id FROM members WHERE user_id = :user_id) AS visible,
    coalesce(sum(chunk_count), 0) AS passages,
    CASE WHEN :is_narrowed THEN array_agg(id) END AS document_ids
FROM (SELECT id, chunk_count FROM documents WHERE {IN_SCOPE} AND chunk_count > 0 LIMIT :enough) AS documents
"""  # noqa: S608

# The projects stand here twice: as a guard, and as a list whose passages the planner can count. `IS TRUE` keeps
# a condition a filter: given the choice of a join, the planner leaves the vector index.
IN_PROJECTS = f"({VISIBLE}) IS TRUE AND project_id = ANY (:project_ids)"
IN_FEW_DOCUMENTS = f"{IN_PROJECTS} AND document_id = ANY (:document_ids)"
IN_MANY_DOCUMENTS = f"{IN_PROJECTS} AND (document_id IN (SELECT id FROM documents WHERE {IN_SCOPE})) IS TRUE"  # noqa: S608

# Joined by OR: joined by AND, a whole question finds next to nothing. 64 words are enough of a question.
QUESTION = r"""
SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery AS any_word
FROM (SELECT lexeme FROM unnest(to_tsvector('english', :words)) ORDER BY positions[1] LIMIT 64) AS lexemes
"""

# Ranks are divided by 1 + log(length of the passage).
FULL_TEXT = """
SELECT id, ts_rank(words, (SELECT any_word FROM question), 1) AS raw
FROM chunks WHERE words @@ (SELECT any_word FROM question) AND {scope}
"""

# The model's name is written out, or the planner could not know that the model's own index applies.
SCAN = "SELECT id, -({vector} <#> :vector) AS raw FROM chunks WHERE embedding_model = {model} AND {scope}"
WALK = SCAN + " ORDER BY {vector} <#> :vector LIMIT :candidates"

# MATERIALIZED: else the planner may walk the index where a scan is wanted, and finds a tenth of a narrow scope.
SEARCH = """
WITH question AS MATERIALIZED ({question}),
passages AS MATERIALIZED ({dense}),
matching AS MATERIALIZED ({full_text}),
candidates AS (
    (SELECT 'dense' AS leg, id, raw FROM passages ORDER BY raw DESC, id LIMIT :candidates)
    UNION ALL
    (SELECT 'text' AS leg, id, raw FROM matching ORDER BY raw DESC, id LIMIT :candidates)
),
stretched AS (
    SELECT id, coalesce((raw - min(raw) OVER whole) / nullif(max(raw) OVER whole - min(raw) OVER whole, 0), 1) AS score
    FROM candidates WINDOW whole AS (PARTITION BY leg)
),
best AS (
    SELECT id, sum(score) / (SELECT count(DISTINCT leg) FROM candidates) AS score
    FROM stretched GROUP BY id ORDER BY 2 DESC, id LIMIT :limit
)
SELECT chunk.id, document_id, document.title, text, chunk.page, chunk.heading, char_start, char_end, best.score,
    CASE WHEN embedding_model = {model} THEN -({vector} <#> :vector) END,
    CASE WHEN words @@ any_word THEN ts_rank(words, any_word, 1) END
FROM best JOIN chunks AS chunk USING (id) JOIN documents AS document ON document.id = document_id, question
ORDER BY best.score DESC, chunk.id
"""

EXCERPTS = """
SELECT number, substr(text, char_start + 1, char_end - char_start),
    (SELECT max((page->>'number')::int) FROM jsonb_array_elements(pages) AS page
     WHERE (page->>'char_start')::int <= char_start)
FROM unnest(:document_ids, :starts, :ends) WITH ORDINALITY AS wanted (document_id, char_start, char_end, number)
JOIN document_texts USING (document_id)
"""

TYPES: Mapping[str, TypeEngine[Any]] = {
    "user_id": Uuid(),
    "project_ids": ARRAY(Uuid()),
    "document_ids": ARRAY(Uuid()),
    "media_type": String(),
    "metadata": JSONB(none_as_null=True),
    "enough": Integer(),
    "is_narrowed": Boolean(),
    "ef_search": String(),
    "longest_walk": String(),
    "words": String(),
    "vector": HALFVEC(),
    "candidates": Integer(),
    "limit": Integer(),
    "starts": ARRAY(Integer()),
    "ends": ARRAY(Integer()),
}


class RetrievalRepository:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def search(self, scope: Scope, probe: Probe, *, limit: int) -> Sequence[Match]:
        """The best passages of `scope`, best first. Sets planner options for the rest of the transaction."""
        question = {
            "enough": LARGEST_SCAN + 1,
            "longest_walk": str(LONGEST_WALK),
            "ef_search": str(probe.candidates),
            "is_narrowed": scope.is_narrowed,
        }
        reach = await self._session.execute(_prepared(REACH), {**_fields(scope), **question})
        *_, visible, passages, document_ids = reach.one()
        if passages == 0:
            return []
        counted = replace(scope, project_ids=visible if scope.project_ids is None else scope.project_ids)
        if passages > LARGEST_SCAN:
            within = IN_MANY_DOCUMENTS if scope.is_narrowed else IN_PROJECTS
            return await self._fuse(WALK, within, counted, probe, limit)
        within = IN_FEW_DOCUMENTS if scope.is_narrowed else IN_PROJECTS
        return await self._fuse(SCAN, within, replace(counted, document_ids=document_ids), probe, limit)

    async def read_excerpts(self, excerpts: Sequence[Excerpt]) -> Sequence[Reading | None]:
        """What stands there now, in the order asked for; None where the document is gone."""
        parameters = {
            "document_ids": [excerpt.document_id for excerpt in excerpts],
            "starts": [excerpt.char_start for excerpt in excerpts],
            "ends": [excerpt.char_end for excerpt in excerpts],
        }
        rows = await self._session.execute(_prepared(EXCERPTS), parameters)
        found = {number: Reading(text, page) for number, text, page in rows}
        return [found.get(number) for number, _ in enumerate(excerpts, start=1)]

    async def _fuse(self, dense: str, within: str, scope: Scope, probe: Probe, limit: int) -> Sequence[Match]:
        statement = _hybrid(dense, within, probe.model, len(probe.vector))
        parameters = {**_fields(scope), **_fields(probe), "limit": limit}
        return [Match(*row) for row in await self._session.execute(statement, parameters)]


def _fields(one: Scope | Probe) -> dict[str, Any]:
    """As `asdict`, which would copy every number of a vector."""
    return {field.name: getattr(one, field.name) for field in fields(one)}


@functools.cache
def _prepared(sql: str) -> TextClause:
    """Made once, so that it is compiled and prepared once."""
    return text(sql).bindparams(*(bindparam(name, type_=kind) for name, kind in TYPES.items() if f":{name}" in sql))


@functools.cache
def _hybrid(dense: str, within: str, model: str, size: int) -> TextClause:
    """`model` and `size` are settings."""
    written = {
        "model": "'" + model.replace("'", "''").replace(":", r"\:") + "'",
        "vector": f"embedding::halfvec({size})",
        "scope": within,
    }
    legs = {"dense": dense.format(**written), "full_text": FULL_TEXT.format(**written)}
    return _prepared(SEARCH.format(question=QUESTION, **legs, **written))
