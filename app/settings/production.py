"""What work that people start needs outside this process: a server that makes pictures, runners of functions."""

from datetime import timedelta

from pydantic import Field, SecretStr

from app.settings.values import CommaSeparated, Group, Networks, Ports, Seconds


class ImagesSettings(Group):
    base_url: str = Field("", description="Endpoint that speaks OpenAI's Images API; empty: no pictures are made.")
    api_key: SecretStr = Field(SecretStr(""), description="Key for IMAGES_BASE_URL.")
    model: str = Field("", max_length=200, description="Model name sent to IMAGES_BASE_URL.")
    stream: bool = Field(True, description="Off for servers that know neither streaming nor the parameter quality.")
    previews: int = Field(2, ge=0, le=3, description="Unfinished pictures that are asked for while one is made.")
    sizes: CommaSeparated = Field((), description="Sizes it knows, such as 1024x1024,1536x1024; empty: any.")
    timeout: Seconds = Field(timedelta(minutes=5), description="For one picture.")
    connect_timeout: Seconds = Field(timedelta(seconds=5), description="To reach IMAGES_BASE_URL.")
    max_bytes: int = Field(33_554_432, ge=1_024, description="Largest picture that is sent or taken.")


class FunctionSettings(Group):
    timeout: Seconds = Field(timedelta(seconds=10), description="For one call, from the name to the runner's answer.")
    longest: Seconds = Field(timedelta(hours=24), description="How long a function may take at most.")
    concurrency: int = Field(4, ge=1, description="Functions that one worker waits for; below TASK_CONCURRENCY.")
    ports: Ports = Field((80, 443, 8080, 8443), description="Ports that URLs of runners may name.")
    allowed_networks: Networks = Field((), description="Private networks that runners may be in: 10.1.0.0/16, ….")
