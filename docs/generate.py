"""Write what is generated: `.env.example`, `docs/openapi.json`, `asyncapi.json` and `licences.md`, clients' types.

python -m docs.generate
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from app.api.asyncapi import asyncapi_document
from app.main import create_app
from app.settings import Group, Settings
from clients import generate as clients
from ops.supply_chain import licences_text

ENV_EXAMPLE = Path(__file__).parent.parent / ".env.example"
OPENAPI = Path(__file__).with_name("openapi.json")
ASYNCAPI = Path(__file__).with_name("asyncapi.json")
LICENCES = Path(__file__).with_name("licences.md")
HEAD = """\
# Every setting with its default; written by `make docs` from app/settings.
# Copy this file to .env and take away the # of what you change. What stands in the environment wins. Times are seconds,
# lists are separated by commas. A name that does not exist is refused at the start.
"""
FOR_COMPOSE = """

# ---- docker compose alone: it reads this file, too, and needs JWT_SECRET and ENCRYPTION_KEY from above

# Password of the PostgreSQL that it starts (letters and digits: it becomes a part of a URL).
# POSTGRES_PASSWORD=

# With `--profile monitoring`: password of Grafana's admin, and Grafana's port on this machine.
# GRAFANA_PASSWORD=
# GRAFANA_PORT=3000
"""


def env_example() -> str:
    """The text of `.env.example`."""
    return HEAD + "".join(_everything()) + FOR_COMPOSE


def openapi_document() -> str:
    """The text of `docs/openapi.json`: what a server with default settings says of itself."""
    application = create_app(Settings(_env_file=None, environment="testing"))
    return json.dumps(application.openapi(), indent=1, ensure_ascii=False) + "\n"


def asyncapi_text() -> str:
    """The text of `docs/asyncapi.json`."""
    return json.dumps(asyncapi_document(), indent=1, ensure_ascii=False) + "\n"


def _everything() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            yield f"\n\n# ---- {name.upper()}\n"
            for inner, inner_field in field.annotation.model_fields.items():
                yield _setting(f"{name}_{inner}", inner_field)
        else:
            yield _setting(name, field)


def _setting(name: str, field: FieldInfo) -> str:
    choice = f" ({', '.join(get_args(field.annotation))})" if get_origin(field.annotation) is Literal else ""
    return f"\n# {field.description}{choice}\n# {name.upper()}={_written(field.default)}\n"


def _written(value: Any) -> str:
    """`value` as it would stand in the environment."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.15g}"
    if isinstance(value, tuple):
        return ",".join(_written(part) for part in value)
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_none=True)
    return str(value)


if __name__ == "__main__":
    ENV_EXAMPLE.write_text(env_example(), encoding="utf-8")
    OPENAPI.write_text(openapi_document(), encoding="utf-8")
    ASYNCAPI.write_text(asyncapi_text(), encoding="utf-8")
    LICENCES.write_text(licences_text(), encoding="utf-8")
    clients.write_all()
