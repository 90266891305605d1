"""memories, people and places, and what they are found by"""

from collections.abc import Sequence

import sqlalchemy as sa
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy.dialects import postgresql

from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TABLES = (
    "memory_terms",
    "memory_chunks",
    "memory_candidates",
    "memory_indexings",
    "memory_versions",
    "memory_links",
    "memory_people",
    "memories",
    "person_names",
    "people",
    "locations",
    "memory_term_counts",
)

# As `count_terms` does for projects; a memory that is shared takes its words from one shelf to another. What nobody has
# any more is not kept: a shelf has no row of its own that it could go with.
COUNT_TERMS = """
CREATE FUNCTION count_memory_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('term_counts:' || shelf_id, 0))
        FROM (SELECT DISTINCT shelf_id FROM removed ORDER BY shelf_id) AS shelves;
        UPDATE memory_term_counts AS counted SET passages = counted.passages - gone.passages
        FROM (
            SELECT shelf_id, term_id, count(*) AS passages
            FROM removed, LATERAL unnest(0 || term_ids) AS term_id GROUP BY shelf_id, term_id
        ) AS gone
        WHERE counted.shelf_id = gone.shelf_id AND counted.term_id = gone.term_id;
        DELETE FROM memory_term_counts AS counted USING (
            SELECT DISTINCT shelf_id, term_id FROM removed, LATERAL unnest(0 || term_ids) AS term_id
        ) AS gone
        WHERE counted.shelf_id = gone.shelf_id AND counted.term_id = gone.term_id AND counted.passages <= 0;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('term_counts:' || shelf_id, 0))
        FROM (SELECT DISTINCT shelf_id FROM added ORDER BY shelf_id) AS shelves;
        INSERT INTO memory_term_counts (shelf_id, term_id, passages)
        SELECT shelf_id, term_id, count(*)
        FROM added, LATERAL unnest(0 || term_ids) AS term_id GROUP BY shelf_id, term_id
        ON CONFLICT (shelf_id, term_id) DO UPDATE SET passages = memory_term_counts.passages + excluded.passages;
    END IF;
    RETURN NULL;
END $$
"""
TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON memory_terms REFERENCING {rows}
FOR EACH STATEMENT EXECUTE FUNCTION count_memory_terms()
"""
ADDED, REMOVED = "NEW TABLE AS added", "OLD TABLE AS removed"


def upgrade() -> None:
    op.create_table(
        "memory_term_counts",
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("term_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("passages", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("shelf_id", "term_id", name=op.f("pk_memory_term_counts")),
    )
    op.create_table(
        "locations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("latitude", sa.Float(), nullable=True),
        sa.Column("longitude", sa.Float(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name=op.f("ck_locations_has_both_coordinates")),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_locations_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_locations")),
    )
    op.create_index(
        op.f("ix_locations_latitude_longitude"),
        "locations",
        ["latitude", "longitude"],
        unique=False,
        postgresql_where=sa.text("latitude IS NOT NULL"),
    )
    op.create_index(op.f("ix_locations_owner_id_id"), "locations", ["owner_id", "id"], unique=False)
    op.create_index(
        "ix_locations_owner_id_name", "locations", ["owner_id", sa.literal_column("lower(name)")], unique=False
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("aliases", postgresql.ARRAY(sa.String(length=100)), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("fk_people_owner_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
    )
    op.create_index(op.f("ix_people_owner_id_id"), "people", ["owner_id", "id"], unique=False)
    op.create_table(
        "person_names",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("folded", sa.String(length=200), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_person_names_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_person_names_person_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("person_id", "folded", name=op.f("pk_person_names")),
    )
    op.create_index(op.f("ix_person_names_owner_id_folded"), "person_names", ["owner_id", "folded"], unique=False)
    op.create_table(
        "memories",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("shelf_id", sa.Uuid(), sa.Computed("coalesce(project_id, owner_id)", persisted=True), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurred_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("precision", sa.String(length=10), nullable=False),
        sa.Column("begins", sa.DateTime(), nullable=False),
        sa.Column("ends", sa.DateTime(), nullable=False),
        sa.Column("tags", postgresql.ARRAY(sa.String(length=50)), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("location_id", sa.Uuid(), nullable=True),
        sa.Column("source", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["location_id"], ["locations.id"], name=op.f("fk_memories_location_id_locations"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_memories_owner_id_users"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "owner_id"],
            ["members.project_id", "members.user_id"],
            name=op.f("fk_memories_project_id_owner_id_members"),
            ondelete="SET NULL (project_id)",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memories")),
        sa.UniqueConstraint("shelf_id", "id", name=op.f("uq_memories_shelf_id_id")),
    )
    op.create_index(
        op.f("ix_memories_deleted_at"),
        "memories",
        ["deleted_at"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memories_location_id"),
        "memories",
        ["location_id"],
        unique=False,
        postgresql_where=sa.text("location_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_memories_owner_id"), "memories", ["owner_id"], unique=False)
    op.create_index(
        op.f("ix_memories_project_id_owner_id"),
        "memories",
        ["project_id", "owner_id"],
        unique=False,
        postgresql_where=sa.text("project_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memories_shelf_id_begins_ends"),
        "memories",
        ["shelf_id", "begins", "ends"],
        unique=False,
        postgresql_include=["id", "location_id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_memories_shelf_id_occurred_at_id"),
        "memories",
        ["shelf_id", "occurred_at", "id"],
        unique=False,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        "ix_memories_tags",
        "memories",
        ["tags"],
        unique=False,
        postgresql_using="gin",
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "memory_candidates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("title", sa.String(length=300), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("occurred_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("precision", sa.String(length=10), nullable=False),
        sa.Column("begins", sa.DateTime(), nullable=False),
        sa.Column("ends", sa.DateTime(), nullable=False),
        sa.Column("people", postgresql.ARRAY(sa.String(length=100)), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("source", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("duplicate_of", sa.Uuid(), nullable=True),
        sa.Column("memory_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["duplicate_of"],
            ["memories.id"],
            name=op.f("fk_memory_candidates_duplicate_of_memories"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_candidates_memory_id_memories"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_memory_candidates_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_candidates")),
        sa.UniqueConstraint("owner_id", "fingerprint", name=op.f("uq_memory_candidates_owner_id_fingerprint")),
    )
    op.create_index(
        op.f("ix_memory_candidates_duplicate_of"),
        "memory_candidates",
        ["duplicate_of"],
        unique=False,
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memory_candidates_memory_id"),
        "memory_candidates",
        ["memory_id"],
        unique=False,
        postgresql_where=sa.text("memory_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memory_candidates_owner_id_status_id"), "memory_candidates", ["owner_id", "status", "id"], unique=False
    )
    op.create_table(
        "memory_chunks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("char_start", sa.Integer(), nullable=False),
        sa.Column("char_end", sa.Integer(), nullable=False),
        sa.Column("embedding", HALFVEC(), nullable=False),
        sa.Column("embedding_model", sa.String(length=100), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["shelf_id", "memory_id"],
            ["memories.shelf_id", "memories.id"],
            name=op.f("fk_memory_chunks_shelf_id_memory_id_memories"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memory_chunks")),
        sa.UniqueConstraint("shelf_id", "id", name=op.f("uq_memory_chunks_shelf_id_id")),
    )
    op.create_index(
        "ix_memory_chunks_embedding_minilm",
        "memory_chunks",
        [sa.literal_column("(embedding::halfvec(384))").label("minilm")],
        unique=False,
        postgresql_using="hnsw",
        postgresql_ops={"minilm": "halfvec_ip_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
        postgresql_where=sa.text("embedding_model = 'all-MiniLM-L6-v2'"),
    )
    op.create_index("uq_memory_chunks_memory_id_ordinal", "memory_chunks", ["memory_id", "ordinal"], unique=True)
    op.create_table(
        "memory_indexings",
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("ticket", sa.Uuid(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("run_after", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_indexings_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", name=op.f("pk_memory_indexings")),
    )
    op.create_index(op.f("ix_memory_indexings_run_after"), "memory_indexings", ["run_after"], unique=False)
    op.create_table(
        "memory_links",
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("document_id", sa.Uuid(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("linked_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "num_nonnulls(document_id, message_id, linked_id) = 1", name=op.f("ck_memory_links_has_one_target")
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["documents.id"], name=op.f("fk_memory_links_document_id_documents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["linked_id"], ["memories.id"], name=op.f("fk_memory_links_linked_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_links_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_memory_links_message_id_messages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", "target_id", name=op.f("pk_memory_links")),
    )
    op.create_index(
        op.f("ix_memory_links_document_id"),
        "memory_links",
        ["document_id"],
        unique=False,
        postgresql_where=sa.text("document_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memory_links_linked_id"),
        "memory_links",
        ["linked_id"],
        unique=False,
        postgresql_where=sa.text("linked_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_memory_links_message_id"),
        "memory_links",
        ["message_id"],
        unique=False,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_table(
        "memory_people",
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_people_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["people.id"], name=op.f("fk_memory_people_person_id_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", "person_id", name=op.f("pk_memory_people")),
    )
    op.create_index(
        op.f("ix_memory_people_person_id_memory_id"), "memory_people", ["person_id", "memory_id"], unique=False
    )
    op.create_table(
        "memory_versions",
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("change", sa.String(length=20), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["changed_by"], ["users.id"], name=op.f("fk_memory_versions_changed_by_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["memory_id"], ["memories.id"], name=op.f("fk_memory_versions_memory_id_memories"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("memory_id", "revision", name=op.f("pk_memory_versions")),
    )
    op.create_table(
        "memory_terms",
        sa.Column("chunk_id", sa.Uuid(), nullable=False),
        sa.Column("memory_id", sa.Uuid(), nullable=False),
        sa.Column("shelf_id", sa.Uuid(), nullable=False),
        sa.Column("term_ids", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.Column("terms", SPARSEVEC(), nullable=False),
        sa.Column("expansion", SPARSEVEC(), nullable=True),
        sa.Column("expansion_model", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(
            ["shelf_id", "chunk_id"],
            ["memory_chunks.shelf_id", "memory_chunks.id"],
            name=op.f("fk_memory_terms_shelf_id_chunk_id_memory_chunks"),
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("chunk_id", name=op.f("pk_memory_terms")),
    )
    op.create_index(op.f("ix_memory_terms_memory_id"), "memory_terms", ["memory_id"], unique=False)
    op.create_index(op.f("ix_memory_terms_shelf_id"), "memory_terms", ["shelf_id"], unique=False)
    op.create_index("ix_memory_terms_term_ids", "memory_terms", ["term_ids"], unique=False, postgresql_using="gin")
    # Rows of up to half a page stay whole: fetching the parts of each of ten thousand costs more than all the rest.
    op.execute("ALTER TABLE memory_terms SET (toast_tuple_target = 4080)")
    op.execute(COUNT_TERMS)
    op.execute(TRIGGER.format(name="memory_terms_added", event="INSERT", rows=ADDED))
    op.execute(TRIGGER.format(name="memory_terms_removed", event="DELETE", rows=REMOVED))
    op.execute(TRIGGER.format(name="memory_terms_moved", event="UPDATE", rows=f"{REMOVED} {ADDED}"))


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION count_memory_terms()")
