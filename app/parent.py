"""A child of the supervisor ends when the supervisor does, however it went."""

import os
import signal
import threading
import time
from datetime import timedelta

PARENT_PIPE = "HEARTH_PARENT_PIPE"  # names the file descriptor that ends when the supervisor does
ORPHAN_PATIENCE = 15.0  # seconds


def exit_with_parent(drain: timedelta = timedelta(0)) -> None:
    """To be called by a child at its start: stop this process when the supervisor is gone, however it went.

    `drain`: how long it serves on after it was told to stop.
    """
    pipe = os.environ.pop(PARENT_PIPE, None)
    if pipe is not None:
        patience = ORPHAN_PATIENCE + drain.total_seconds()
        waiting = threading.Thread(
            target=_wait_for_end_of, args=(int(pipe), patience), name="exit-with-parent", daemon=True
        )
        waiting.start()


def _wait_for_end_of(pipe: int, patience: float) -> None:
    os.read(pipe, 1)  # nothing is ever written: it returns when the last holder of the other end has gone
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    os.killpg(os.getpgrp(), signal.SIGKILL)  # a group of our own, since the supervisor made one for each child
