"""The commands that talk to a running server: signing in, files, questions, rooms, memories."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from app.settings import Settings
from app.terminal import complaints, console, load, read_settings

if TYPE_CHECKING:
    from app.client import Client, Outcome

commands = typer.Typer()
memories = typer.Typer(no_args_is_help=True, help="Your memories, in and out.")
commands.add_typer(memories, name="memories")
imports = typer.Typer(no_args_is_help=True, help="Bring in what other programs keep.")
commands.add_typer(imports, name="import")

Url = Annotated[str | None, typer.Option(envvar="HEARTH_URL", help="Where the server is.")]
ApiKey = Annotated[str | None, typer.Option(envvar="HEARTH_API_KEY", help="Else the one that `hearth login` kept.")]
Project = Annotated[str | None, typer.Option(help="Project id; your default project otherwise.")]


@commands.command()
def login(
    email: Annotated[str, typer.Option(prompt=True)],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True)],
    url: Url = None,
) -> None:
    """Make an API key for this command line and keep it in the data folder."""
    settings = read_settings()
    with _complaining(), load("app.client").Client(url or _url(settings), "") as client:
        key = client.create_api_key(email, password, f"hearth command line on {os.uname().nodename}")
    path = _key_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(key)
    console.print(f"Signed in as {escape(email)}.")


@commands.command()
def ingest(paths: list[Path], url: Url = None, api_key: ApiKey = None, project: Project = None) -> None:
    """Upload files and folders and wait until they can be searched."""
    files = [file for path in paths for file in _files_below(path)]
    if not files:
        raise typer.BadParameter("no files there", param_hint="PATHS")
    with _complaining(), _client(url, api_key) as client:
        outcomes = [_ingest_one(client, file, project) for file in files]
    raise typer.Exit(0 if all(outcome and outcome.status == "ready" for outcome in outcomes) else 1)


@commands.command()
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
                raise load("app.client").Refused(data["code"], data["message"])


@commands.command()
def chat(session: str, url: Url = None, api_key: ApiKey = None) -> None:
    """Talk in a room: each line you type is a message."""
    address = url or _url(read_settings())
    with _complaining(), _client(url, api_key) as client:
        asyncio.run(load("app.conversation").converse(address, session, client.create_ticket, console))


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
    importing = load("app.collection_import")
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


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """Say what went wrong in one line, and what to do."""
    try:
        yield
    except load("app.client").Refused as error:
        hint = " Run `hearth login` first, or set HEARTH_API_KEY." if error.code == "NOT_AUTHENTICATED" else ""
        complaints.print(f"{escape(str(error))}{hint}", style="red", highlight=False)
        raise typer.Exit(1) from error
    except (load("httpx").HTTPError, OSError) as error:
        complaints.print(f"The server cannot be reached: {escape(str(error))}. Is `make run` running?", style="red")
        raise typer.Exit(1) from error


def _url(settings: Settings) -> str:
    return f"http://{settings.host}:{settings.port}"


def _key_file(settings: Settings) -> Path:
    return settings.data_dir / "command-line-key"


def _client(url: str | None, api_key: str | None) -> "Client":
    settings = read_settings()
    kept = _key_file(settings)
    key = api_key or (kept.read_text().strip() if kept.exists() else "")
    client: Client = load("app.client").Client(url or _url(settings), key)
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
        except load("app.client").Refused as error:
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
