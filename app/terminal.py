"""What all commands share: where they write, how they load what they need, and the settings."""

import gc
import importlib
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from app.settings import Settings, load_settings

console = Console()
complaints = Console(stderr=True)


def load(module: str) -> Any:
    """What a command needs, and the others do not. Modules stay, so nobody looks for garbage among them meanwhile: that
    takes an eighth of the time.
    """
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.enable()


def read_settings() -> Settings:
    try:
        return load_settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            complaints.print(f"{name + ': ' if name else ''}{escape(problem['msg'])}", style="red", highlight=False)
    except ValueError as error:
        complaints.print(escape(str(error)), style="red", highlight=False)
    raise typer.Exit(2)
