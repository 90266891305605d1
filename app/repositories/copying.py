"""Rows in PostgreSQL's binary format, for COPY: vectors need not become text and numbers again."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Final
from uuid import UUID

import numpy as np
from pgvector import SparseVector
from pgvector.sqlalchemy import HALFVEC, SPARSEVEC
from sqlalchemy import Integer, String, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from app.models.base import Base

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
END: Final = struct.pack(">h", -1)
NULL: Final = struct.pack(">i", -1)
INT4_OID: Final = 23

Encode = Callable[[Any], bytes]


async def copy_rows(
    session: AsyncSession, entity: type[Base], names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Add `rows` of the columns `names` in the transaction of `session`, which must have begun.

    Raises:
        KeyError: there is no encoding for a column's type.
    """
    content = BytesIO(_encoded([ENCODERS[type(entity.__table__.columns[name].type)] for name in names], rows))
    connection = await (await session.connection()).get_raw_connection()
    assert connection.driver_connection is not None
    await connection.driver_connection.copy_to_table(
        entity.__tablename__, source=content, columns=names, format="binary"
    )


def _encoded(encoders: Sequence[Encode], rows: Iterable[Sequence[Any]]) -> bytes:
    count = struct.pack(">h", len(encoders))
    parts = [SIGNATURE]
    for row in rows:
        parts.append(count)
        for encode, value in zip(encoders, row, strict=True):
            parts += _field(encode, value)
    return b"".join((*parts, END))


def _field(encode: Encode, value: Any) -> tuple[bytes, ...]:
    if value is None:
        return (NULL,)
    field = encode(value)
    return struct.pack(">i", len(field)), field


def _integer(value: int) -> bytes:
    return struct.pack(">i", value)


def _integers(values: Sequence[int]) -> bytes:
    """An array of one dimension without nulls, or of none where it is empty."""
    if not values:
        return struct.pack(">iii", 0, 0, INT4_OID)
    fields = np.empty((len(values), 2), ">i4")
    fields[:, 0], fields[:, 1] = 4, values
    return struct.pack(">iiiii", 1, 0, INT4_OID, len(values), 1) + fields.tobytes()


def _half_vector(values: Sequence[float]) -> bytes:
    return struct.pack(">hh", len(values), 0) + np.asarray(values, ">f2").tobytes()


def _sparse_vector(value: SparseVector) -> bytes:
    return value.to_binary()


def _text(value: str) -> bytes:
    return value.encode()


def _uuid(value: UUID) -> bytes:
    return value.bytes


ENCODERS: Final[Mapping[type, Encode]] = {
    Uuid: _uuid,
    Integer: _integer,
    String: _text,
    Text: _text,
    ARRAY: _integers,
    HALFVEC: _half_vector,
    SPARSEVEC: _sparse_vector,
}
