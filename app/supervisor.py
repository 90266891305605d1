"""`hearth run`: the embedded servers, the migrations, and a web server and a worker that are kept running."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import structlog
from rich.console import Console
from rich.markup import escape

from app.embedded import ServerNotStarted, embedded_servers
from app.migrations import migrate
from app.nursery import Child, ChildNotStarted, prepare, run_hearth, started
from app.observability import configure_logging
from app.settings import Settings

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 4.0  # seconds before a dead child is started again: nobody else brings it back
STEADY = 5.0  # a child that lived this long, after whatever killed it, starts afresh with FIRST_PAUSE
STOP_PATIENCE = 15.0
PROBE_PAUSE = 0.1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = structlog.get_logger(__name__)
console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)


class CannotServe(Exception):
    """The address is not to be had; the message says what to do."""


async def run(settings: Settings) -> int:
    """Run everything until SIGINT, SIGTERM or SIGHUP; a second one does not wait for the children.

    Returns the exit code: 0 after an orderly stop, 1 when it could not start, with the reason on standard error.
    """
    configure_logging(settings)
    hurry = asyncio.Event()
    running = asyncio.create_task(_run(settings, hurry))
    try:
        with _stopped_by_signals(running, hurry):
            await running
    except asyncio.CancelledError:
        console.print("Stopped.")
    except (ServerNotStarted, CannotServe) as error:
        complaints.print(f"[red]{escape(str(error))}[/]")
        return 1
    return 0


async def _run(settings: Settings, hurry: asyncio.Event) -> None:
    settings = await _with_free_port(settings)
    prepare()
    async with embedded_servers(settings) as complete:
        await migrate(complete)
        patience = STOP_PATIENCE + settings.drain_seconds.total_seconds()
        children = Children(environment_for_children(complete), hurry, patience=patience)
        # Left in reverse order: the server finishes its requests first, then the worker hands back its tasks.
        worker = children.kept_running("worker", run_hearth, "worker")
        server = children.kept_running("serve", run_hearth, "serve")
        async with worker, server:
            await _greet(settings)
            await asyncio.Event().wait()


class Children:
    """Processes that are kept running, and that end when this one does, however it ends."""

    def __init__(self, environment: dict[str, str], hurry: asyncio.Event, *, patience: float = STOP_PATIENCE) -> None:
        self._environment = environment
        self._hurry = hurry
        self._patience = patience

    @contextlib.asynccontextmanager
    async def kept_running(self, name: str, target: Callable[..., object], *arguments: str) -> AsyncIterator[None]:
        """Run `target` for the length of the block, again whenever it ends, after a pause that grows to a bound."""
        child = asyncio.create_task(self._keep_running(name, target, *arguments))
        try:
            yield
        finally:
            child.cancel()
            await asyncio.wait([child])

    async def _keep_running(self, name: str, target: Callable[..., object], *arguments: str) -> None:
        pause = FIRST_PAUSE
        while True:
            began, code = time.monotonic(), None
            with contextlib.suppress(ChildNotStarted):
                async with started(name, self._environment, target, *arguments) as child:
                    try:
                        code = await child.wait()
                    finally:
                        await self._stop(child)
            if time.monotonic() - began > STEADY:
                pause = FIRST_PAUSE
            log.warning("supervisor.child_ended", child=name, exit_code=code, again_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _stop(self, child: Child) -> None:
        """Ask it to end; after a while, or in a hurry, kill it and whatever it has started."""
        ended, hurry = asyncio.create_task(child.wait()), asyncio.create_task(self._hurry.wait())
        if not child.has_ended:
            child.terminate()
            await asyncio.wait([ended, hurry], timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        child.kill()  # it may not lead its group yet
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter is macOS' word for an ended group
            os.killpg(child.pid, signal.SIGKILL)
        await ended


def environment_for_children(settings: Settings) -> dict[str, str]:
    """Our environment, and what of `settings` may have come from elsewhere."""
    return os.environ | {
        "ENVIRONMENT": settings.environment,
        "HOST": settings.host,
        "PORT": str(settings.port),
        "DATA_DIR": str(settings.data_dir.absolute()),
        "DRAIN_SECONDS": str(settings.drain_seconds.total_seconds()),
        "DATABASE_URL": settings.database.url.get_secret_value(),
        "REDIS_URL": settings.redis.url.get_secret_value(),
    }


@contextlib.contextmanager
def _stopped_by_signals(task: asyncio.Task[None], hurry: asyncio.Event) -> Iterator[None]:
    def stop() -> None:
        if task.cancelling():
            hurry.set()
        else:
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


async def _with_free_port(settings: Settings) -> Settings:
    """`settings` with an address that can be had, and a real number for port 0.

    A server that finds its port taken would be started again and again: this says it once instead.
    """
    try:
        probe = await asyncio.get_running_loop().create_server(asyncio.Protocol, settings.host, settings.port)
    except OSError as error:
        raise CannotServe(
            f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
            f"Stop what is there, or choose another port: PORT={settings.port + 1} make run"
        ) from error
    port = probe.sockets[0].getsockname()[1]
    probe.close()
    await probe.wait_closed()
    return settings.model_copy(update={"port": port})


async def _greet(settings: Settings) -> None:
    """Once the server answers: where it is, and the first thing to do."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not opened
    url = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    async with httpx.AsyncClient(trust_env=False, timeout=1) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"{url}/health/live")).is_success:
                    break
            await asyncio.sleep(PROBE_PAUSE)
    account = '{"email": "you@example.org", "password": "choose-a-good-one", "name": "You"}'
    console.print(
        f"\n  [bold]Hearth[/] is at [bold cyan]{url}[/], its documentation at [cyan]{url}/docs[/].\n"
        "\n  The first account is the admin:\n"
        f"    curl -X POST {url}/api/v1/auth/register \\\n"
        f"      -H 'Content-Type: application/json' \\\n"
        f"      -d '{escape(account)}'\n"
        "\n  Ctrl-C stops everything.\n"
    )
