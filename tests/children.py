"""What children of a supervisor do in tests: functions of a module, which they find by their names."""

import os
import signal
import sys
import time
from pathlib import Path

from app.parent import exit_with_parent


def dies_at_once(file: str) -> None:
    with Path(file).open("a") as starts:
        starts.write("started\n")
    sys.exit(3)


def hears_nothing(file: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(file).write_text(f"{os.getpid()}\n")
    time.sleep(60)


def ends_with_parent(file: str) -> None:
    exit_with_parent()
    Path(file).write_text(f"{os.getpid()}\n")
    time.sleep(60)
