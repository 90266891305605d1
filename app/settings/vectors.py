"""Which store names the passages whose vectors are nearest to a question's."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr

from app.settings.values import Group, Seconds


class VectorSettings(Group):
    store: Literal["pgvector", "chroma"] = Field(
        "pgvector", description="Where the nearest passages are looked for; chroma: see docs/chroma.md."
    )


class ChromaSettings(Group):
    """For VECTOR_STORE=chroma."""

    url: str = Field("", description="Chroma's address, such as http://127.0.0.1:8001.")
    token: SecretStr = Field(SecretStr(""), description="If Chroma wants one.")
    tenant: str = Field("default_tenant", min_length=1, description="In which the database is.")
    database: str = Field("default_database", min_length=1, description="In which the collections are.")
    collection: str = Field(
        "hearth",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,59}$",
        description="How names of collections begin. No two installations may have the same in one database.",
    )
    timeout: Seconds = Field(timedelta(seconds=2), description="Then PostgreSQL compares the vectors itself.")
