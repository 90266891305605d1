"""Stands before a server, and breaks: refuses, hangs, is slow, and is well again, whatever is spoken through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

SLOWNESS = 0.05  # seconds for each piece, either way: a new connection to PostgreSQL takes a dozen


class FaultyProxy:
    """`address` is where it listens; `break_…` and `mend` take effect at once, also on connections that are open."""

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._pause = 0.0
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def mend(self) -> None:
        self._flows.set()
        self._pause = 0.0
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Nobody listens any more, and every connection is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def hang(self) -> None:
        """Connections are accepted and kept, and nothing comes through."""
        await self.mend()
        self._flows.clear()

    async def slow(self) -> None:
        await self.mend()
        self._pause = SLOWNESS

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._flows.wait()
            far_reader, far_writer = await self._connect()
            try:
                await self._pump_both(reader, writer, far_reader, far_writer)
            finally:
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._target, Path):
            return await asyncio.open_unix_connection(str(self._target))
        return await asyncio.open_connection(*self._target)

    async def _pump_both(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            with suppress(TimeoutError):  # the last words of the other side
                async with asyncio.timeout(0.2):
                    await asyncio.wait(pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if self._pause:
                    await asyncio.sleep(self._pause)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def before(target: Path | tuple[str, int]) -> AsyncIterator[FaultyProxy]:
    """A proxy that is well, for the length of the block."""
    proxy = FaultyProxy(target)
    await proxy.mend()
    try:
        yield proxy
    finally:
        await proxy.refuse()
