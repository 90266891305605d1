"""The `hearth` command: run it, look after it, talk to it.

A command imports what it needs when it runs (`load`): `hearth ask` need not wait for the server's modules.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.markup import escape

from app import __version__
from app.client_commands import commands
from app.settings import Settings
from app.terminal import complaints, console, load, read_settings

SUMMARY = "Your own Hearth: run it, look after it, talk to it."

# Tracebacks that show local variables would show secrets.
app = typer.Typer(no_args_is_help=True, add_completion=False, help=SUMMARY, pretty_exceptions_enable=False)
app.add_typer(commands)


@app.command()
def run() -> None:
    """Everything on this machine: databases, migrations, server and worker."""
    raise typer.Exit(asyncio.run(load("app.supervisor").run(read_settings())))


@app.command()
def serve(workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1) -> None:
    """The HTTP and WebSocket server alone."""
    settings = read_settings()
    load("app.parent").exit_with_parent(settings.drain_seconds)
    with (
        _servers(settings) as settings,
        _shared_numbers(workers),
        load("app.telemetry.exposition").shown(settings.metrics, settings.metrics.port),
    ):
        _require_schema(settings)
        load("app.main")
        load("uvicorn").run(**load("app.server").server_options(settings), workers=workers)


@app.command()
def worker(
    types: Annotated[str, typer.Option(help="Task types it works on, with commas, and `upkeep`; else all.")] = "",
) -> None:
    """The worker alone: ingestion, answers in rooms, long-running tasks."""
    if types:
        os.environ["TASK_TYPES"] = types
    load("app.parent").exit_with_parent()
    with _servers(read_settings()) as settings:
        load("app.observability").configure_logging(settings)
        _require_schema(settings)
        loop_factory = load("uvicorn.loops.auto").auto_loop_factory()
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(_work(settings))
        except load("app.tasks.worker").UnknownTaskType as error:
            complaints.print(escape(str(error)), style="red", highlight=False)
            raise typer.Exit(2) from error


@app.command()
def migrate(revision: Annotated[str, typer.Argument(help="Schema revision.")] = "head") -> None:
    """Bring the database to the newest schema."""
    with _servers(read_settings()) as settings:
        asyncio.run(load("app.migrations").migrate(settings, revision))
    console.print("The database is up to date.")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Check every dependency and say what to do; the exit status is 1 when one is ill."""
    with _servers(read_settings()) as settings:
        physician = load("app.doctor")
        examined = (
            physician.examine_for_machines(settings, sys.stdout.write)
            if as_json
            else physician.examine(settings, console)
        )
        is_well = asyncio.run(examined)
    raise typer.Exit(0 if is_well else 1)


@app.command()
def backup(
    file: Annotated[str, typer.Argument(help="Where it goes; `-`: standard output. A name in .gz is compressed.")],
) -> None:
    """Everything as it is now, while the server goes on: the database and all files, but no settings and no keys."""
    with _servers(read_settings()) as settings, _saving():
        seal = asyncio.run(load("app.backup_commands").save(settings, file, complaints))
    raise typer.Exit(1 if seal.missing else 0)


@app.command()
def restore(
    file: Annotated[str, typer.Argument(help="What `hearth backup` has written; `-`: standard input.")],
    force: Annotated[bool, typer.Option("--force", help="Delete what the database holds.")] = False,
) -> None:
    """Fill an empty database from a backup, with no server running; an older one is migrated."""
    with _servers(read_settings()) as settings, _saving():
        asyncio.run(load("app.backup_commands").bring_back(settings, file, complaints, force=force))


@app.command(name="rotate-keys")
def rotate_keys() -> None:
    """Encrypt with ENCRYPTION_KEY what ENCRYPTION_PREVIOUS_KEYS encrypted, so that those can go; at any time."""
    with _servers(read_settings()) as settings:
        is_complete = asyncio.run(load("app.doctor").rotate(settings, console))
    raise typer.Exit(0 if is_complete else 1)


@app.command()
def reindex() -> None:
    """Tell Chroma everything again, and take out of it what is gone; for VECTOR_STORE=chroma, at any time."""
    with _servers(read_settings()) as settings:
        is_done = asyncio.run(load("app.reindexing").reindex(settings, console))
    raise typer.Exit(0 if is_done else 1)


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__)


def main() -> None:
    """Entry point of the `hearth` command."""
    app()


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[Settings]:
    """Settings with both URLs, in the environment too, where the server's own processes find them."""
    embedded = load("app.embedded")
    with asyncio.Runner() as runner:
        opened = embedded.embedded_servers(settings)
        try:
            running = runner.run(opened.__aenter__())
        except embedded.ServerNotStarted as error:
            complaints.print(escape(str(error)), style="red", highlight=False)
            raise typer.Exit(1) from error
        os.environ["DATABASE_URL"] = running.database.url.get_secret_value()
        os.environ["REDIS_URL"] = running.redis.url.get_secret_value()
        try:
            yield running
        except load("app.adapters.engines").UnusableEngine as error:
            complaints.print(escape(str(error)), style="red", highlight=False)
            raise typer.Exit(2) from error
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _require_schema(settings: Settings) -> None:
    def warn(message: str) -> None:
        complaints.print(escape(message), style="yellow", highlight=False)

    problem = asyncio.run(load("app.start_check").find_problem(settings, warn))
    if problem is not None:
        complaints.print(escape(problem), style="red", highlight=False)
        raise typer.Exit(1)


@contextlib.contextmanager
def _shared_numbers(processes: int) -> Iterator[None]:
    """A folder in which several processes keep their numbers; it is there before any of them counts."""
    if processes == 1 or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="hearth-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        yield


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = load("app.tasks.worker")
    os.nice(worker.NICENESS)
    async with (
        load("app.telemetry.tracing").open_tracing(settings, "hearth-worker"),
        load("app.resources").open_resources(worker.worker_settings(settings)) as resources,
    ):
        await worker.run_worker(resources, stop)


@contextlib.contextmanager
def _saving() -> Iterator[None]:
    """Say in one line why there is no backup, or nothing was restored."""
    try:
        yield
    except load("app.backup_commands").PROBLEMS as error:
        complaints.print(escape(str(error) or type(error).__name__), style="red", highlight=False)
        raise typer.Exit(1) from error
