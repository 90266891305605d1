"""What every table has: a time-ordered id made by the application, two times, and predictable constraint names."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, MetaData, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from uuid_utils.compat import uuid7

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own declaration


class Model(Base):
    """A row with an identity of its own. The id is a UUIDv7, so order by id is order of making."""

    __abstract__ = True
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - `updated_at` comes back with the UPDATE

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-1)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), sort_order=98)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp(), sort_order=99
    )

    @property
    def version(self) -> str:
        """Changes with every change of the row: what `ETag` and `If-Match` carry."""
        return f"{int(self.updated_at.timestamp() * 1_000_000):x}"
