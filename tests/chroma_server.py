"""A real Chroma server, the one of its wheel, in a process and a folder of its own; and hands to fill it with."""

import asyncio
import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, HTTPError

from tests.processes import free_port, stop_process

PYTHON = os.environ.get("CHROMA_PYTHON") or sys.executable  # one in which `chromadb` is installed
SERVER = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(['chroma', *sys.argv[1:]])"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
START_PATIENCE = 20.0  # seconds

needs_chroma = pytest.mark.skipif(
    sys.executable == PYTHON and importlib.util.find_spec("chromadb_rust_bindings") is None,
    reason="chromadb is not installed here, and CHROMA_PYTHON names no Python that has it",
)


@dataclass
class Chroma:
    """`stop` and `start` are an outage, with all data there afterwards."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        arguments = ("run", "--path", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port))
        silent = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(
            PYTHON, "-c", SERVER, *arguments, stdout=silent, stderr=silent, cwd=self.folder
        )
        async with asyncio.timeout(START_PATIENCE), AsyncClient(base_url=self.url) as client:
            while True:
                assert self.process.returncode is None, "Chroma ended at its start"
                with suppress(HTTPError):
                    if (await client.get("/api/v2/heartbeat")).is_success:
                        return
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        if self.process is not None and self.process.returncode is None:
            await stop_process(self.process)

    async def call(self, method: str, path: str, **options: Any) -> Any:
        async with AsyncClient(base_url=self.url, timeout=10) as client:
            response = await client.request(method, COLLECTIONS + path, **options)
        assert response.is_success, response.text
        return response.json()

    async def make_collection(self, name: str) -> str:
        return (await self.call("POST", "", json={"name": name, "get_or_create": True}))["id"]

    async def put(
        self,
        collection_id: str,
        ids: Sequence[str],
        embeddings: Sequence[Sequence[float]],
        *,
        documents: Sequence[str | None] | None = None,
        metadatas: Sequence[dict[str, Any] | None] | None = None,
    ) -> None:
        records = {"ids": ids, "embeddings": embeddings, "documents": documents, "metadatas": metadatas}
        await self.call("POST", f"/{collection_id}/upsert", json=records)

    async def ids(self, collection_id: str, **narrowing: Any) -> set[str]:
        found = await self.call("POST", f"/{collection_id}/get", json={"include": [], **narrowing})
        return set(found["ids"])


@asynccontextmanager
async def start_chroma(folder: Path) -> AsyncIterator[Chroma]:
    chroma = Chroma(folder, free_port())
    try:
        await chroma.start()
        yield chroma
    finally:
        await chroma.stop()
