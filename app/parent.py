"""A child of the supervisor ends when the supervisor does, however it went."""

import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta

ORPHAN_PATIENCE = 15.0  # seconds


def exit_with_parent(drain: timedelta = timedelta(0)) -> None:
    """To be called by a child at its start: stop this process when the supervisor is gone, however it went.

    `drain`: how long it serves on after it was told to stop.
    """
    if multiprocessing.parent_process() is not None:
        patience = ORPHAN_PATIENCE + drain.total_seconds()
        threading.Thread(target=_wait_for_its_end, args=(patience,), name="exit-with-parent", daemon=True).start()


def _wait_for_its_end(patience: float) -> None:
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # a group of our own: each child leads one
