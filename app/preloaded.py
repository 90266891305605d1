"""Imported by the process that children are forked from (`app/nursery.py`): all that server and worker need.

Nothing may run here: no threads, no event loop, no connection and no number drawn at random survives a fork unharmed.
"""

import gc
import importlib
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy starts threads
gc.disable()  # modules stay: nobody looks for garbage among them meanwhile

for _module in ("app.main", "app.tasks.worker", "app.server", "app.start_check", "app.embedded", "app.cli", "uvicorn"):
    importlib.import_module(_module)
importlib.import_module("sqlalchemy.orm").configure_mappers()  # else each does so for its first statement
gc.enable()
gc.freeze()  # whoever looked for garbage among these would copy them
