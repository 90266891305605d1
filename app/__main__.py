"""The `hearth` command, and `python -m app`: what `hearth run` needs begins to load before anything else does."""

import importlib
import sys

from app import nursery


def main() -> None:
    if sys.argv[1:] == ["run"]:
        nursery.prepare()
    importlib.import_module("app.cli").main()


if __name__ == "__main__":
    main()
