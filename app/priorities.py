"""Who goes first where there is more work than cores: on Linux each thread has a niceness of its own."""

import os
import sys
import threading
from typing import Final

NICEST: Final = 19


def step_back(by: int) -> None:
    """Let everything else on this machine go `by` steps before the calling thread, from the process's own place on."""
    if sys.platform == "linux":
        place = os.getpriority(os.PRIO_PROCESS, os.getpid()) + by
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(place, NICEST))
