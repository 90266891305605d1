"""How settings are grouped, and written in the environment: lists with commas, times in seconds, rates."""

from datetime import timedelta
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.rates import parse_rate


class Group(BaseModel):
    """Settings that belong to one component."""

    # The environment is full of other programs' names, such as LOG_DIR and PASSWORD_STORE_DIR.
    model_config = {"frozen": True, "extra": "ignore"}


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _seconds(value: object) -> object:
    """`30` in the environment means 30 seconds; ISO 8601 durations work too."""
    if isinstance(value, str):
        try:
            return timedelta(seconds=float(value))
        except ValueError:
            return value
    return value


def _rate(value: str) -> str:
    """`600/minute`, `10 per 30 seconds`, `unlimited`, ….

    Raises:
        ValueError: not one rate.
    """
    parse_rate(value)
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError: one of them is no network."""
    for network in value:
        ip_network(network)
    return value


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split_commas)]
Ports = Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], NoDecode, BeforeValidator(_split_commas)]
Networks = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_commas), AfterValidator(_networks)]
Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Rate = Annotated[str, AfterValidator(_rate)]
