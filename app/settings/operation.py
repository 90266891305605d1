"""What those set who look after the service: what is logged, counted and traced."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr

from app.settings.values import Group, Seconds


class LogSettings(Group):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written.")
    format: Literal["auto", "console", "json"] = Field("auto", description="auto: JSON in production.")
    access_share: float = Field(
        1.0, ge=0, le=1, description="Share of the requests that are logged; those that fail or are slow always are."
    )
    slow: Seconds = Field(timedelta(seconds=1), description="A request that takes longer is slow.")


class TracingSettings(Group):
    endpoint: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="OTLP/HTTP collector, such as http://127.0.0.1:4318; empty: no traces.",
    )
    headers: SecretStr = Field(SecretStr(""), description="Sent to it: name=value, several with commas.")
    share: float = Field(1.0, ge=0, le=1, description="Of the traces that begin here, how many are recorded.")
    queue: int = Field(8_192, ge=1, description="Spans that wait to be sent; what is beyond is dropped.")
    timeout: Seconds = Field(timedelta(seconds=5), description="For sending some of them.")


class MetricsSettings(Group):
    port: int = Field(0, ge=0, le=65535, description="Where a server shows its metrics besides /api/v1/metrics; 0: no.")
    worker_port: int = Field(0, ge=0, le=65535, description="Where a worker shows its metrics; 0: nowhere.")
    host: str = Field("127.0.0.1", description="Address that both listen on.")
    token: SecretStr = Field(SecretStr(""), description="Bearer token that both ask for; empty: none.")
