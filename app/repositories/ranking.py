"""The statements of the hybrid search, in which each leg's best passages are fused by score.

The legs are `dense` (nearest vectors), `text` (BM25: the question's words, each weighed by how rare it is) and
`sparse` (the word pieces that question and passage speak of). Each gives its best candidates with a raw score, where
more is better. Raw scores are stretched to the range 0 to 1 within their leg, and a passage's score is their weighted
mean over the legs that found any: fusing by score finds more than fusing by rank. A leg that named few passages did
not choose among many, so the last of them is not stretched down to 0. A further ranker is one more leg.

Everything that is put together here into SQL is written here; what comes from outside is a parameter.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import ARRAY, Boolean, DateTime, Float, Integer, String, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is searched: a table of `passages`, one of their `words`, and what a match is told by.

    `columns` are the id and the title of whatever a passage is of, its text, page, heading and offsets.
    """

    passages: str
    words: str
    columns: str
    joins: str


DOCUMENTS: Final = Corpus(
    passages="chunks",
    words="chunk_terms",
    columns="chunk.document_id, document.title, text, chunk.page, chunk.heading, char_start, char_end",
    joins="JOIN documents AS document ON document.id = chunk.document_id",
)
MEMORIES: Final = Corpus(
    passages="memory_chunks",
    words="memory_terms",
    columns="""chunk.memory_id, memory.title, chunk.text, CAST(NULL AS int),
    to_char(memory.begins, CASE memory.precision WHEN 'year' THEN 'YYYY' WHEN 'month' THEN 'FMMonth YYYY'
        ELSE 'FMDD FMMonth YYYY' END), char_start, char_end""",
    joins="JOIN memories AS memory ON memory.id = chunk.memory_id AND memory.deleted_at IS NULL",
)

VISIBLE = "project_id IN (SELECT project_id FROM members WHERE user_id = :user_id)"

# A comparison of things that cannot be compared, or a key that is not there, is no error but false.
IN_SCOPE = f"""{VISIBLE}
    AND (CAST(:project_ids AS uuid[]) IS NULL OR project_id = ANY (:project_ids))
    AND (CAST(:document_ids AS uuid[]) IS NULL OR id = ANY (:document_ids))
    AND (CAST(:media_type AS text) IS NULL OR media_type = :media_type)
    AND (CAST(:metadata AS jsonb) IS NULL OR metadata @> :metadata)
    AND (CAST(:created_from AS timestamptz) IS NULL OR created_at >= :created_from)
    AND (CAST(:created_before AS timestamptz) IS NULL OR created_at < :created_before)
    AND (CAST(:condition AS text) IS NULL
        OR jsonb_path_match(metadata, CAST(CAST(:condition AS text) AS jsonpath), :operands, true) IS TRUE)
"""

# Searchable documents have at least one passage, so :enough of them have enough passages. `state` is another one after
# every change of any of them, which gives its row another xmin. The settings hold until the
# end of the transaction; a plan must know its projects, for they differ by orders of size.
REACH = f"""
SELECT
    set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('hnsw.iterative_scan', 'relaxed_order', true),
    set_config('hnsw.ef_search', :ef_search, true),
    set_config('hnsw.max_scan_tuples', :longest_walk, true),
    set_config('hnsw.scan_mem_multiplier', '8', true),
    ARRAY(SELECT project_id FROM members WHERE user_id = :user_id) AS visible,
    coalesce(sum(chunk_count), 0) AS passages,
    CASE WHEN :is_narrowed AND count(*) <= :few THEN array_agg(id) END AS document_ids,
    CASE WHEN count(*) < :enough THEN bit_xor(uuid_hash_extended(id, xmin::text::bigint)) END AS state,
    (SELECT jsonb_object_agg(term_id, having_it) FROM (
        SELECT term_id, sum(passages) AS having_it FROM term_counts
        WHERE {VISIBLE} AND (CAST(:project_ids AS uuid[]) IS NULL OR project_id = ANY (:project_ids))
            AND term_id = ANY (:term_ids)
        GROUP BY term_id
    ) AS counts) AS counts
FROM (SELECT id, chunk_count, xmin FROM documents WHERE {IN_SCOPE} AND chunk_count > 0 LIMIT :enough) AS documents
"""  # noqa: S608 - made of constants alone

# The projects stand here twice: as a guard, and as a list whose passages the planner can count. `IS TRUE` keeps
# a condition a filter: given the choice of a join, the planner leaves the vector index.
IN_PROJECTS = f"({VISIBLE}) IS TRUE AND project_id = ANY (:project_ids)"
IN_FEW_DOCUMENTS = f"{IN_PROJECTS} AND document_id = ANY (:document_ids)"
IN_MANY_DOCUMENTS = f"{IN_PROJECTS} AND (document_id IN (SELECT id FROM documents WHERE {IN_SCOPE})) IS TRUE"  # noqa: S608 - constants

ON_SHELVES = """
    (shelf_id = :user_id OR shelf_id IN (SELECT project_id FROM members WHERE user_id = :user_id)) IS TRUE
    AND shelf_id = ANY (:shelf_ids)
"""
IN_FEW_MEMORIES = f"{ON_SHELVES} AND memory_id = ANY (:memory_ids)"

# Few passages are compared one by one. MATERIALIZED: else the planner may walk the index where a scan is wanted, and
# finds a tenth of a narrow scope. The model's name is written out, or the planner could not know of its index.
COMPARED = """
nearest AS MATERIALIZED (
    SELECT id, -({vector} <#> :vector) AS raw FROM {passages} WHERE embedding_model = {model} AND {scope}
)
"""
# Another store has named what may be near; what it had not been told of when it was asked is named, too. Whatever it
# says, this is where the asker's projects and filters are kept to, and where the vectors are compared.
MIRRORED = """
proposed AS MATERIALIZED (
    SELECT unnest(:nearest_ids) AS id
    UNION SELECT id FROM {passages} WHERE document_id IN (
        SELECT unnest(:untold_ids)
        UNION (SELECT document_id FROM vector_changes ORDER BY version LIMIT :most_waiting)
    )
),
nearest AS MATERIALIZED (
    SELECT id, -({vector} <#> :vector) AS raw FROM {passages} JOIN proposed USING (id)
    WHERE embedding_model = {model} AND {scope}
)
"""
SCANNED = """
spoken AS MATERIALIZED (
    SELECT chunk_id AS id, -(terms <#> :terms) AS said, -(expansion <#> :expansion) AS meant
    FROM {words} WHERE {scope}
),
dense AS (SELECT id, raw FROM nearest ORDER BY raw DESC, id LIMIT :candidates),
said AS (SELECT id, said AS raw FROM spoken WHERE said > 0 ORDER BY raw DESC, id LIMIT :candidates),
meant AS (SELECT id, meant AS raw FROM spoken WHERE meant > 0 ORDER BY raw DESC, id LIMIT :candidates)
"""
SCAN = f"{COMPARED}, {SCANNED}"
MIRRORED_SCAN = f"{MIRRORED}, {SCANNED}"

# Of many, the vector index names the nearest, and the question's words and those that it implies name the others; what
# speaks of the same is chosen from all of these.
WALKED = """
nearest AS MATERIALIZED (
    SELECT id, -({vector} <#> :vector) AS raw FROM {passages} WHERE embedding_model = {model} AND {scope}
    ORDER BY {vector} <#> :vector LIMIT :pool
)
"""
NAMED = """
dense AS (SELECT id, raw FROM nearest ORDER BY raw DESC, id LIMIT :candidates),
spoken AS MATERIALIZED (
    SELECT chunk_id AS id, -(terms <#> :terms) AS said, -(expansion <#> :expansion) AS meant
    FROM {words} WHERE term_ids && :naming_ids AND {scope}
),
said AS (SELECT id, said AS raw FROM spoken WHERE said > 0 ORDER BY raw DESC, id LIMIT :candidates),
meant AS (
    SELECT id, meant AS raw FROM (
        SELECT id, meant FROM spoken
        UNION SELECT chunk_id, -(expansion <#> :expansion) FROM {words} WHERE chunk_id IN (SELECT id FROM nearest)
    ) AS named
    WHERE meant > 0 ORDER BY raw DESC, id LIMIT :candidates
)
"""
WALK = f"{WALKED}, {NAMED}"
MIRRORED_WALK = f"{MIRRORED}, {NAMED}"

SEARCH = """
WITH {legs},
candidates AS (
    SELECT 'dense' AS leg, CAST(:dense_weight AS float) AS weight, id, raw FROM dense WHERE :dense_weight > 0
    UNION ALL SELECT 'text', :text_weight, id, raw FROM said WHERE :text_weight > 0
    UNION ALL SELECT 'sparse', :sparse_weight, id, raw FROM meant WHERE :sparse_weight > 0
),
stretched AS (
    SELECT leg, weight, id, row_number() OVER (PARTITION BY leg ORDER BY raw DESC, id) AS place,
        coalesce((raw - lowest) / nullif(highest - lowest, 0), 1) AS share
    FROM (
        SELECT *, max(raw) OVER whole AS highest, min(raw) OVER whole * count(*) OVER whole / :candidates AS lowest
        FROM candidates WINDOW whole AS (PARTITION BY leg)
    ) AS bounded
),
best AS (
    SELECT id, jsonb_object_agg(leg, place) AS places,
        sum(weight * share) / (SELECT sum(weight) FROM (SELECT DISTINCT leg, weight FROM candidates)) AS score
    FROM stretched GROUP BY id ORDER BY 3 DESC, id LIMIT :limit
)
SELECT chunk.id, {columns}, best.score,
    CASE WHEN embedding_model = {model} THEN -({vector} <#> :vector) END,
    nullif(-(spoken.terms <#> :terms), 0), nullif(-(spoken.expansion <#> :expansion), 0), best.places
FROM best JOIN {passages} AS chunk USING (id) {joins}
    LEFT JOIN {words} AS spoken ON spoken.chunk_id = chunk.id
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
    "shelf_ids": ARRAY(Uuid()),
    "memory_ids": ARRAY(Uuid()),
    "media_type": String(),
    "metadata": JSONB(none_as_null=True),
    "created_from": DateTime(timezone=True),
    "created_before": DateTime(timezone=True),
    "condition": String(),
    "operands": JSONB(),
    "enough": Integer(),
    "few": Integer(),
    "is_narrowed": Boolean(),
    "ef_search": String(),
    "longest_walk": String(),
    "term_ids": ARRAY(Integer()),
    "naming_ids": ARRAY(Integer()),
    "nearest_ids": ARRAY(Uuid()),
    "untold_ids": ARRAY(Uuid()),
    "most_waiting": Integer(),
    "vector": HALFVEC(),
    "terms": SPARSEVEC(),
    "expansion": SPARSEVEC(),
    "dense_weight": Float(),
    "text_weight": Float(),
    "sparse_weight": Float(),
    "candidates": Integer(),
    "pool": Integer(),
    "limit": Integer(),
    "starts": ARRAY(Integer()),
    "ends": ARRAY(Integer()),
}


@functools.cache
def prepared(sql: str) -> TextClause:
    """Made once, so that it is compiled and prepared once."""
    return text(sql).bindparams(*(bindparam(name, type_=kind) for name, kind in TYPES.items() if f":{name}" in sql))


def written(model: str, size: int, scope: str, corpus: Corpus = DOCUMENTS) -> Mapping[str, str]:
    """What statements are completed with; `model` and `size` are settings."""
    return {
        "passages": corpus.passages,
        "words": corpus.words,
        "columns": corpus.columns,
        "joins": corpus.joins,
        "model": "'" + model.replace("'", "''").replace(":", r"\:") + "'",
        "vector": f"embedding::halfvec({size})",
        "scope": scope,
    }


@functools.cache
def hybrid(legs: str, scope: str, model: str, size: int, corpus: Corpus = DOCUMENTS) -> TextClause:
    """The search by `legs` (SCAN or WALK, or what of them is MIRRORED) within `scope`."""
    values = written(model, size, scope, corpus)
    return prepared(SEARCH.format(legs=legs.format(**values), **values))
