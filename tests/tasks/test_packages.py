"""Task types of other packages, found by their entry points."""

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from app.resources import open_resources
from app.schemas.tasks import TaskCreate
from tests.processes import REPOSITORY
from tests.tasks.probes import make_place, read_task
from tests.work import run_queued_tasks


@pytest.fixture
async def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package, installed into a folder of its own; beside it one that cannot be imported."""
    command = ["-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    source, packages = tmp_path / "source", tmp_path / "packages"
    shutil.copytree(REPOSITORY / "examples" / "word-count", source)  # it is built in its own folder
    target = ["--python", sys.executable, "--target", str(packages), str(source)]
    installing = await asyncio.create_subprocess_exec(sys.executable, *command, *target)
    assert await installing.wait() == 0
    broken = packages / "broken-0.1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 0.1\n")
    (broken / "entry_points.txt").write_text("[hearth.tasks]\na_broken_one = nowhere:Nothing\nanother = json:dumps\n")
    monkeypatch.syspath_prepend(str(packages))


async def test_a_task_type_of_another_package_is_offered_and_done(installed, committed_settings):
    async with open_resources(committed_settings) as resources:
        place, tasks = await make_place(resources), resources.services.tasks
        offered = {kind.name: kind for kind in tasks.types}
        assert offered["count_words"].params["properties"]["most_common"]["maximum"] == 100
        assert {"ingest_document", "reingest_project"} <= set(offered), "a broken package costs nobody the others"

        ended = []
        for text in ("the lamp and the lighthouse", "  "):
            order = TaskCreate(task_type="count_words", params={"text": text, "most_common": 1})
            ended.append((await tasks.start(place.actor, place.project_id, order)).id)
        await run_queued_tasks(resources)
        counted, refused = [await read_task(resources, task_id) for task_id in ended]
    assert counted.result == {"words": 5, "most_common": [["the", 2]]}
    assert (refused.status, refused.attempts, refused.error["code"]) == ("failed", 1, "VALIDATION_ERROR")
