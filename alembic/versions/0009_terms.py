"""the words of passages as weights, and how many passages have each; passages that are there get theirs later"""

from collections.abc import Sequence

import sqlalchemy as sa
from pgvector.sqlalchemy import SPARSEVEC
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TERMS = (
    ("term_ids", postgresql.ARRAY(sa.Integer())),
    ("terms", SPARSEVEC()),
    ("expansion", SPARSEVEC()),
    ("expansion_model", sa.String(length=100)),
)
OPTIONAL = ("expansion", "expansion_model")

# One transaction at a time counts for a project, or two that remove some passages and add others would wait for each
# other. The rows of a deleted project go with it, so that what its passages take off is taken off nothing.
COUNT_TERMS = """
CREATE FUNCTION count_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('term_counts:' || project_id, 0))
    FROM (SELECT DISTINCT project_id FROM changed ORDER BY project_id) AS projects;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO term_counts (project_id, term_id, passages)
        SELECT project_id, term_id, count(*)
        FROM changed, LATERAL unnest(0 || term_ids) AS term_id GROUP BY project_id, term_id
        ON CONFLICT (project_id, term_id) DO UPDATE SET passages = term_counts.passages + excluded.passages;
    ELSE
        UPDATE term_counts SET passages = term_counts.passages - gone.passages
        FROM (
            SELECT project_id, term_id, count(*) AS passages
            FROM changed, LATERAL unnest(0 || term_ids) AS term_id GROUP BY project_id, term_id
        ) AS gone
        WHERE term_counts.project_id = gone.project_id AND term_counts.term_id = gone.term_id;
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON chunk_terms REFERENCING {rows} TABLE AS changed
FOR EACH STATEMENT EXECUTE FUNCTION count_terms()
"""


def upgrade() -> None:
    op.create_table(
        "chunk_terms",
        sa.Column("chunk_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        *(sa.Column(name, kind, nullable=name in OPTIONAL) for name, kind in TERMS),
        sa.ForeignKeyConstraint(
            ["chunk_id"], ["chunks.id"], name=op.f("fk_chunk_terms_chunk_id_chunks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("chunk_id", name=op.f("pk_chunk_terms")),
    )
    # Rows of up to half a page stay whole: fetching the parts of each of ten thousand costs more than all the rest.
    op.execute("ALTER TABLE chunk_terms SET (toast_tuple_target = 4080)")
    for column in ("project_id", "document_id"):
        op.create_index(op.f(f"ix_chunk_terms_{column}"), "chunk_terms", [column], unique=False)
    op.create_index("ix_chunk_terms_term_ids", "chunk_terms", ["term_ids"], postgresql_using="gin")
    op.create_table(
        "term_counts",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("term_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name=op.f("fk_term_counts_project_id_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project_id", "term_id", name=op.f("pk_term_counts")),
    )
    op.execute(COUNT_TERMS)
    op.execute(TRIGGER.format(name="chunk_terms_added", event="INSERT", rows="NEW"))
    op.execute(TRIGGER.format(name="chunk_terms_removed", event="DELETE", rows="OLD"))
    op.execute("DELETE FROM chunk_drafts")  # without words; readings that are under way begin again
    for name, kind in TERMS:
        op.add_column("chunk_drafts", sa.Column(name, kind, nullable=name in OPTIONAL))
    op.drop_index("ix_chunks_words", table_name="chunks")
    op.drop_column("chunks", "words")


def downgrade() -> None:
    words = sa.Computed("to_tsvector('english', coalesce(heading, '') || ' ' || text)", persisted=True)
    op.add_column("chunks", sa.Column("words", postgresql.TSVECTOR(), words, nullable=False))
    op.create_index("ix_chunks_words", "chunks", ["words"], postgresql_using="gin")
    for name, _ in TERMS:
        op.drop_column("chunk_drafts", name)
    op.drop_table("chunk_terms")
    op.execute("DROP FUNCTION count_terms()")
    op.drop_table("term_counts")
