"""The embedded servers, as the processes of one machine meet them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.embedded import ServerNotStarted, embedded_servers
from app.embedded.accounts import Account
from app.settings import DatabaseSettings, EmbeddedSettings, RedisSettings, Settings
from tests.data_dirs import temporary_data_dir

PATIENCE = 20.0  # seconds
OWNER = """
import asyncio, sys
from pathlib import Path
from app.embedded import embedded_servers
from app.settings import Settings

async def main():
    async with embedded_servers(Settings(_env_file=None, environment="testing", data_dir=Path(sys.argv[1]))):
        print("up", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as folder:
        yield folder


def settings_for(data_dir: Path, **groups: object) -> Settings:
    return Settings(_env_file=None, environment="testing", data_dir=data_dir, **groups)


@asynccontextmanager
async def postgres(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(settings.database.url.get_secret_value().replace("+asyncpg", ""))
    yield connection
    await connection.close()


@asynccontextmanager
async def valkey(settings: Settings) -> AsyncIterator[Redis]:
    async with Redis.from_url(settings.redis.url.get_secret_value()) as client:
        yield client


async def remember(settings: Settings, word: str) -> None:
    async with postgres(settings) as database, valkey(settings) as cache:
        await database.execute("CREATE TABLE words (word text)")
        await database.execute("INSERT INTO words VALUES ($1)", word)
        await cache.set("word", word)


async def remembered(settings: Settings) -> tuple[str, str]:
    async with postgres(settings) as database, valkey(settings) as cache:
        return await database.fetchval("SELECT word FROM words"), (await cache.get("word")).decode()


async def remembered_again(settings: Settings) -> tuple[str, str]:
    """As `remembered`, while the servers may still be coming back."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await remembered(settings)
        except (OSError, asyncpg.PostgresError, RedisError):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


async def pids_of(settings: Settings) -> tuple[int, int]:
    postmaster = settings.data_dir / "postgres" / "data" / "postmaster.pid"
    async with valkey(settings) as cache:
        return int(postmaster.read_text().splitlines()[0]), (await cache.info("server"))["process_id"]


def have_ended(pids: tuple[int, int]) -> bool:
    """Also true for processes in their last moment: what is adopted is another's child."""
    deadline = time.monotonic() + PATIENCE
    while any(_is_there(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def test_data_outlives_an_orderly_stop_and_nothing_keeps_running(data_dir: Path) -> None:
    async with embedded_servers(Settings(_env_file=None, data_dir=data_dir)) as settings:
        await remember(settings, "orderly")
        pids = await pids_of(settings)

    assert have_ended(pids)
    assert (data_dir / "postgres.password").stat().st_mode & 0o777 == 0o600
    async with embedded_servers(Settings(_env_file=None, data_dir=data_dir)) as settings:
        assert await remembered(settings) == ("orderly", "orderly")
        async with postgres(settings) as database:
            assert {row[0] for row in await database.fetch("SELECT name FROM pg_available_extensions")} >= {
                "vector",
                "pg_trgm",
                "unaccent",
            }
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(host=str(data_dir / "postgres.run"), user="app", password="", database="hearth")


async def test_killed_servers_come_back_under_the_same_urls_with_their_data(data_dir: Path) -> None:
    async with embedded_servers(settings_for(data_dir)) as settings:
        await remember(settings, "killed")
        await asyncio.sleep(1.1)  # Valkey writes its file to the disk once a second
        killed = await pids_of(settings)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        assert await remembered_again(settings) == ("killed", "killed")
        assert not set(killed) & set(await pids_of(settings))


async def test_the_next_process_adopts_what_a_killed_one_left_running(data_dir: Path) -> None:
    with _owner(data_dir) as owner:
        owner.kill()
        owner.wait()

    async with embedded_servers(settings_for(data_dir)) as settings:
        adopted = await pids_of(settings)
        started = (data_dir / "postgres.log").read_text().count("starting PostgreSQL")
    assert started == 1
    assert have_ended(adopted)


async def test_a_second_process_attaches_and_leaves_the_servers_to_their_owner(data_dir: Path) -> None:
    with _owner(data_dir) as owner:
        async with embedded_servers(settings_for(data_dir)) as settings:
            await remember(settings, "shared")
        async with embedded_servers(settings_for(data_dir)) as settings:
            assert await remembered(settings) == ("shared", "shared")
            pids = await pids_of(settings)

        owner.send_signal(signal.SIGINT)
        owner.wait(20)
    assert have_ended(pids)


async def test_two_data_folders_live_side_by_side(data_dir: Path) -> None:
    async with (
        embedded_servers(settings_for(data_dir / "one")) as one,
        embedded_servers(settings_for(data_dir / "two")) as two,
    ):
        await remember(one, "one")
        await remember(two, "two")
        assert await remembered(one) == ("one", "one")
        assert await remembered(two) == ("two", "two")


async def test_nothing_starts_where_both_urls_are_set(data_dir: Path) -> None:
    given = settings_for(
        data_dir / "untouched",
        database=DatabaseSettings(url="postgresql+asyncpg://elsewhere/hearth"),
        redis=RedisSettings(url="redis://elsewhere"),
    )
    async with embedded_servers(given) as settings:
        assert settings == given
    assert not given.data_dir.exists()

    async with embedded_servers(settings_for(data_dir, database=given.database)) as settings:
        assert settings.database == given.database
        async with valkey(settings) as cache:
            assert await cache.ping()
    assert not (data_dir / "postgres").exists()


async def test_a_long_and_odd_path_works(data_dir: Path) -> None:
    odd = data_dir / ('Zoë\'s "notes", $HOME `x` & more ' + "." * 60)
    async with embedded_servers(settings_for(odd)) as settings:
        await remember(settings, "odd")
        sockets = (odd / "postgres.run").resolve()
        assert sockets != odd / "postgres.run"
    assert not sockets.exists()


async def test_a_left_over_pid_that_another_program_has_now_is_no_obstacle(data_dir: Path) -> None:
    async with embedded_servers(settings_for(data_dir)) as settings:
        await remember(settings, "rebooted")
        pid_file = data_dir / "postgres" / "data" / "postmaster.pid"
        left_over = pid_file.read_text().splitlines()

    with _stranger(data_dir / "postgres") as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *left_over[1:]]) + "\n")
        async with embedded_servers(settings_for(data_dir)) as settings:
            assert await remembered(settings) == ("rebooted", "rebooted")
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL under another account")
async def test_roots_data_folder_may_lie_below_a_closed_home(data_dir: Path) -> None:
    home = data_dir / "closed"
    home.mkdir(mode=0o700)
    async with embedded_servers(settings_for(home / ".hearth")) as settings:
        await remember(settings, "closed")
        outside = (home / ".hearth" / "postgres").resolve()
    try:
        assert home.stat().st_mode & 0o777 == 0o700
        assert (outside / "belongs-to").read_text().strip() == str(home / ".hearth" / "postgres")
        async with embedded_servers(settings_for(home / ".hearth")) as settings:
            assert await remembered(settings) == ("closed", "closed")
    finally:
        shutil.rmtree(outside)
    with pytest.raises(ServerNotStarted, match="which is gone"):
        async with embedded_servers(settings_for(home / ".hearth")):
            pass


async def test_what_cannot_start_says_why_and_what_to_do(data_dir: Path) -> None:
    for embedded, words in (
        (EmbeddedSettings(postgres_bin=Path("/nowhere")), "EMBEDDED_POSTGRES_BIN"),
        (EmbeddedSettings(valkey_bin=Path("/bin/false")), "Valkey did not start"),
    ):
        with pytest.raises(ServerNotStarted, match=words):
            async with embedded_servers(settings_for(data_dir, embedded=embedded)):
                pass
    (data_dir / "postgres.password").unlink()
    with pytest.raises(ServerNotStarted, match=r"postgres\.password is missing"):
        async with embedded_servers(settings_for(data_dir)):
            pass
    (data_dir / "file").touch()
    with pytest.raises(ServerNotStarted, match="Set DATA_DIR"):
        async with embedded_servers(settings_for(data_dir / "file")):
            pass


def _owner(data_dir: Path) -> subprocess.Popen[bytes]:
    """Another process that has the servers running."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    return owner


def _stranger(folder: Path) -> subprocess.Popen[bytes]:
    """A program of the account that runs PostgreSQL."""
    return subprocess.Popen(["sleep", "60"], cwd="/", **Account.unprivileged(folder).spawn_options)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
