"""The `hearth` command: run it, look after it, talk to it.

A command imports what it needs when it runs (`_load`): `hearth ask` need not wait for the server's modules.
"""

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from app import __version__
from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from app.client import Client, Outcome

# Tracebacks that show local variables would show secrets.
app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, pretty_exceptions_enable=False)
memories = typer.Typer(no_args_is_help=True, help="Your memories, in and out.")
app.add_typer(memories, name="memories")
imports = typer.Typer(no_args_is_help=True, help="Bring in what other programs keep.")
app.add_typer(imports, name="import")
console = Console()
complaints = Console(stderr=True)

Url = Annotated[str | None, typer.Option(envvar="HEARTH_URL", help="Where the server is.")]
ApiKey = Annotated[str | None, typer.Option(envvar="HEARTH_API_KEY", help="Else the one that `hearth login` kept.")]
Project = Annotated[str | None, typer.Option(help="Project id; your default project otherwise.")]


@app.command()
def run() -> None:
    """Everything on this machine: databases, migrations, server and worker."""
    raise typer.Exit(asyncio.run(_load("app.supervisor").run(_settings())))


@app.command()
def serve(workers: Annotated[int, typer.Option(min=1, help="Server processes.")] = 1) -> None:
    """The HTTP and WebSocket server alone."""
    settings = _settings()
    _load("app.parent").exit_with_parent(settings.drain_seconds)
    with (
        _servers(settings) as settings,
        _shared_numbers(workers),
        _load("app.telemetry.exposition").shown(settings.metrics, settings.metrics.port),
    ):
        _require_schema(settings)
        _load("app.main")
        _load("uvicorn").run(**_load("app.server").server_options(settings), workers=workers)


@app.command()
def worker(
    types: Annotated[str, typer.Option(help="Task types it works on, with commas, and `upkeep`; else all.")] = "",
) -> None:
    """The worker alone: ingestion, answers in rooms, long-running tasks."""
    if types:
        os.environ["TASK_TYPES"] = types
    _load("app.parent").exit_with_parent()
    with _servers(_settings()) as settings:
        _load("app.observability").configure_logging(settings)
        _require_schema(settings)
        loop_factory = _load("uvicorn.loops.auto").auto_loop_factory()
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(_work(settings))
        except _load("app.tasks.worker").UnknownTaskType as error:
            complaints.print(escape(str(error)), style="red", highlight=False)
            raise typer.Exit(2) from error


@app.command()
def migrate(revision: Annotated[str, typer.Argument(help="Schema revision.")] = "head") -> None:
    """Bring the database to the newest schema."""
    with _servers(_settings()) as settings:
        asyncio.run(_load("app.migrations").migrate(settings, revision))
    console.print("The database is up to date.")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")] = False,
) -> None:
    """Check every dependency and say what to do; the exit status is 1 when one is ill."""
    with _servers(_settings()) as settings:
        physician = _load("app.doctor")
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
    with _servers(_settings()) as settings, _saving():
        seal = asyncio.run(_load("app.backup_commands").save(settings, file, complaints))
    raise typer.Exit(1 if seal.missing else 0)


@app.command()
def restore(
    file: Annotated[str, typer.Argument(help="What `hearth backup` has written; `-`: standard input.")],
    force: Annotated[bool, typer.Option("--force", help="Delete what the database holds.")] = False,
) -> None:
    """Fill an empty database from a backup, with no server running; an older one is migrated."""
    with _servers(_settings()) as settings, _saving():
        asyncio.run(_load("app.backup_commands").bring_back(settings, file, complaints, force=force))


@app.command(name="rotate-keys")
def rotate_keys() -> None:
    """Encrypt with ENCRYPTION_KEY what ENCRYPTION_PREVIOUS_KEYS encrypted, so that those can go; at any time."""
    with _servers(_settings()) as settings:
        is_complete = asyncio.run(_load("app.doctor").rotate(settings, console))
    raise typer.Exit(0 if is_complete else 1)


@app.command()
def reindex() -> None:
    """Tell Chroma everything again, and take out of it what is gone; for VECTOR_STORE=chroma, at any time."""
    with _servers(_settings()) as settings:
        is_done = asyncio.run(_load("app.reindexing").reindex(settings, console))
    raise typer.Exit(0 if is_done else 1)


@app.command()
def login(
    email: Annotated[str, typer.Option(prompt=True)],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True)],
    url: Url = None,
) -> None:
    """Make an API key for this command line and keep it in the data folder."""
    settings = _settings()
    with _complaining(), _load("app.client").Client(url or _url(settings), "") as client:
        key = client.create_api_key(email, password, f"hearth command line on {os.uname().nodename}")
    path = _key_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(key)
    console.print(f"Signed in as {escape(email)}.")


@app.command()
def ingest(paths: list[Path], url: Url = None, api_key: ApiKey = None, project: Project = None) -> None:
    """Upload files and folders and wait until they can be searched."""
    files = [file for path in paths for file in _files_below(path)]
    if not files:
        raise typer.BadParameter("no files there", param_hint="PATHS")
    with _complaining(), _client(url, api_key) as client:
        outcomes = [_ingest_one(client, file, project) for file in files]
    raise typer.Exit(0 if all(outcome and outcome.status == "ready" for outcome in outcomes) else 1)


@app.command()
def ask(question: str, url: Url = None, api_key: ApiKey = None, project: Project = None) -> None:
    """Ask your documents; the answer comes with its sources."""
    with _complaining(), _client(url, api_key) as client:
        for name, data in client.ask(question, project):
            if name == "token":
                console.print(data["delta"], end="", markup=False, highlight=False)
            elif name == "citations":
                console.print()
                for citation in data["citations"]:
                    page = f", page {citation['page']}" if citation["page"] else ""
                    quote = " ".join(citation["quote"].split())
                    where = f"\\[{citation['marker']}] {escape(citation['title'])}{page}"
                    console.print(f"[dim]{where}: “{escape(quote)}”[/]", highlight=False)
            elif name == "error":
                raise _load("app.client").Refused(data["code"], data["message"])


@app.command()
def chat(session: str, url: Url = None, api_key: ApiKey = None) -> None:
    """Talk in a room: each line you type is a message."""
    address = url or _url(_settings())
    with _complaining(), _client(url, api_key) as client:
        asyncio.run(_load("app.conversation").converse(address, session, client.create_ticket, console))


@memories.command(name="import")
def import_memories(
    paths: list[Path],
    source: Annotated[str, typer.Option(help="Where the files come from, if ids of several places are the same.")] = "",
    timezone: Annotated[str, typer.Option(help="Of times without an offset; yours otherwise.")] = "",
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """Bring in memories: JSON Lines, CSV, iCalendar, or an archive of `hearth memories export`."""
    fields = {"source": source, "timezone": timezone}
    files = [file for path in paths for file in _files_below(path)]
    with _complaining(), _client(url, api_key) as client:
        outcomes = [_import_one(client, file, fields) for file in files]
    raise typer.Exit(0 if all(outcomes) else 1)


@memories.command(name="export")
def export_memories(
    path: Annotated[Path, typer.Argument(help="Where the archive goes.")] = Path("memories.zip"),
    url: Url = None,
    api_key: ApiKey = None,
) -> None:
    """All your memories as one archive, which `hearth memories import` takes in again."""
    with _complaining(), _client(url, api_key) as client:
        size = client.export_memories(path)
    console.print(f"{escape(str(path))}: {size:,} bytes", highlight=False)


@imports.command(name="chroma")
def import_chroma(
    chroma: Annotated[str, typer.Option("--url", envvar="CHROMA_URL", help="Where Chroma is.")],
    collection: Annotated[str, typer.Option(help="Name of the collection.")],
    project: Project = None,
    tenant: Annotated[str, typer.Option(help="In which the database is.")] = "default_tenant",
    database: Annotated[str, typer.Option(help="In which the collection is.")] = "default_database",
    token: Annotated[str, typer.Option(envvar="CHROMA_TOKEN", help="If Chroma wants one.")] = "",
    server: Annotated[str | None, typer.Option(envvar="HEARTH_URL", help="Where Hearth is.")] = None,
    api_key: ApiKey = None,
) -> None:
    """Make documents of what a Chroma collection says; again, and only what has changed there changes here."""
    importing = _load("app.collection_import")
    address = importing.Address(chroma, collection, tenant, database, token)
    try:
        with _complaining(), _client(server, api_key) as client, importing.Collection(address) as opened:
            work = importing.Import(client, project or client.default_project(), collection)
            with _progress(collection) as show:
                outcome = work.run(opened, show)
    except importing.CollectionUnreadable as error:
        complaints.print(escape(str(error)), style="red", highlight=False)
        raise typer.Exit(1) from error
    what = ", ".join(f"{getattr(outcome, name):,} {name}" for name in ("created", "updated", "unchanged"))
    without = f", {outcome.skipped:,} without a text" if outcome.skipped else ""
    mark = "[red]✗[/]" if outcome.problems else "[green]✓[/]"
    console.print(f"{mark} {escape(collection)}: {what}, {len(outcome.problems):,} failed{without}", highlight=False)
    for record_id, reason in outcome.problems:
        console.print(f"  {escape(record_id)}: {escape(reason)}", highlight=False)
    raise typer.Exit(1 if outcome.problems else 0)


@app.command()
def version() -> None:
    """Print the version."""
    console.print(__version__)


def main() -> None:
    """Entry point of the `hearth` command."""
    app()


def _load(module: str) -> Any:
    """What a command needs, and the others do not. Modules stay, so nobody looks for garbage among them meanwhile: that
    takes an eighth of the time.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()


def _settings() -> Settings:
    try:
        return load_settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            complaints.print(f"{name + ': ' if name else ''}{escape(problem['msg'])}", style="red", highlight=False)
    except ValueError as error:
        complaints.print(escape(str(error)), style="red", highlight=False)
    raise typer.Exit(2)


@contextlib.contextmanager
def _servers(settings: Settings) -> Iterator[Settings]:
    """Settings with both URLs, in the environment too, where the server's own processes find them."""
    embedded = _load("app.embedded")
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
        except _load("app.adapters.engines").UnusableEngine as error:
            complaints.print(escape(str(error)), style="red", highlight=False)
            raise typer.Exit(2) from error
        finally:
            runner.run(opened.__aexit__(None, None, None))


def _require_schema(settings: Settings) -> None:
    def warn(message: str) -> None:
        complaints.print(escape(message), style="yellow", highlight=False)

    problem = asyncio.run(_load("app.start_check").find_problem(settings, warn))
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
    worker = _load("app.tasks.worker")
    os.nice(worker.NICENESS)
    async with (
        _load("app.telemetry.tracing").open_tracing(settings, "hearth-worker"),
        _load("app.resources").open_resources(worker.worker_settings(settings)) as resources,
    ):
        await worker.run_worker(resources, stop)


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """Say what went wrong in one line, and what to do."""
    try:
        yield
    except _load("app.client").Refused as error:
        hint = " Run `hearth login` first, or set HEARTH_API_KEY." if error.code == "NOT_AUTHENTICATED" else ""
        complaints.print(f"{escape(str(error))}{hint}", style="red", highlight=False)
        raise typer.Exit(1) from error
    except (_load("httpx").HTTPError, OSError) as error:
        complaints.print(f"The server cannot be reached: {escape(str(error))}. Is `make run` running?", style="red")
        raise typer.Exit(1) from error


@contextlib.contextmanager
def _saving() -> Iterator[None]:
    """Say in one line why there is no backup, or nothing was restored."""
    try:
        yield
    except _load("app.backup_commands").PROBLEMS as error:
        complaints.print(escape(str(error) or type(error).__name__), style="red", highlight=False)
        raise typer.Exit(1) from error


def _url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _key_file(settings: Settings) -> Path:
    return settings.data_dir / "command-line-key"


def _client(url: str | None, api_key: str | None) -> "Client":
    settings = _settings()
    kept = _key_file(settings)
    key = api_key or (kept.read_text().strip() if kept.exists() else "")
    client: Client = _load("app.client").Client(url or _url(settings), key)
    return client


def _files_below(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not path.exists():
        raise typer.BadParameter(f"{path} does not exist", param_hint="PATHS")
    return [path]


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[float, str], None]]:
    """A bar that is moved by what is yielded, and gone at the end."""
    columns = (SpinnerColumn(), TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=1.0, name=name)

        def show(fraction: float, message: str) -> None:
            progress.update(bar, completed=fraction, description=message)

        yield show


def _ingest_one(client: "Client", file: Path, project: str | None) -> "Outcome | None":
    with _progress(file.name) as show:
        show(0.0, "uploading")
        try:
            outcome = client.ingest(file, project, show)
        except _load("app.client").Refused as error:
            console.print(f"[red]✗[/] {escape(file.name)}: {escape(str(error))}", highlight=False)
            return None
    mark = "[green]✓[/]" if outcome.status == "ready" else "[red]✗[/]"
    what = f"{outcome.chunk_count} passages" if outcome.status == "ready" else escape(outcome.reason or outcome.status)
    console.print(f"{mark} {escape(file.name)}: {what}", highlight=False)
    return outcome


def _import_one(client: "Client", file: Path, fields: Mapping[str, str]) -> bool:
    """Whether everything in it could be read."""
    with _progress(file.name) as show:
        show(0.0, "uploading")
        found = client.import_memories(file, fields, show)
    if found["status"] != "succeeded":
        reason = escape((found["error"] or {}).get("message", found["status"]))
        console.print(f"[red]✗[/] {escape(file.name)}: {reason}", highlight=False)
        return False
    what = ", ".join(f"{found[name]} {name}" for name in ("created", "updated", "unchanged", "failed"))
    mark = "[red]✗[/]" if found["failed"] else "[green]✓[/]"
    console.print(f"{mark} {escape(file.name)}: {what}", highlight=False)
    for problem in found["problems"]:
        console.print(f"  line {problem['line']}: {escape(problem['message'])}", highlight=False)
    return not found["failed"]


if __name__ == "__main__":
    main()
