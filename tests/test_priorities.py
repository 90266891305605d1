"""Who goes first on a busy machine: the server's event loop before its threads, and both before the worker."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from app.priorities import step_back
from app.settings import EmbeddingSettings, Settings
from app.tasks.worker import NICENESS, worker_settings
from tests.processes import start_server
from tests.tasks.probes import until

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="threads have no niceness of their own elsewhere")


@on_linux
def test_a_thread_that_steps_back_leaves_the_others_where_they_are():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with ThreadPoolExecutor(1, initializer=step_back, initargs=(5,)) as threads:
        assert threads.submit(os.getpriority, os.PRIO_PROCESS, 0).result() == min(before + 5, 19)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@on_linux
async def test_the_worker_lets_the_server_go_first(committed_settings: Settings):
    async with start_server(committed_settings, worker=True) as server:
        assert server.worker is not None
        own, worker = psutil.Process(server.process.pid), psutil.Process(server.worker.pid)

        async def is_behind() -> bool:
            return worker.nice() == min(own.nice() + NICENESS, 19)

        await until(is_behind, seconds=20)


def test_a_worker_embeds_on_all_cpus_unless_it_is_told_how_many(tmp_path: Path):
    usual = Settings(_env_file=None, environment="testing", data_dir=tmp_path)
    told = usual.model_copy(update={"embedding": EmbeddingSettings(threads=3)})
    assert usual.embedding.threads == 0
    assert worker_settings(usual).embedding.threads == (psutil.cpu_count() or 1)
    assert worker_settings(told).embedding.threads == 3
