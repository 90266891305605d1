"""What a project may hold beside its documents, how others are told of it, and where files are kept."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr

from app.settings.values import Group, Networks, Ports, Seconds


class ProjectSettings(Group):
    """What one project may hold beside its documents."""

    state_max_bytes: int = Field(65_536, ge=2, description="Largest state of a project, as JSON in UTF-8.")
    state_max_depth: int = Field(32, ge=1, le=100, description="How deep objects and lists may be nested in it.")
    state_ttl: Seconds = Field(
        timedelta(days=7), ge=timedelta(seconds=1), description="It is forgotten this long after the last change."
    )
    file_max_bytes: int = Field(104_857_600, ge=1, description="Largest file of a project.")
    files_max_bytes: int = Field(5_368_709_120, ge=1, description="All files of one project together.")
    files_max_count: int = Field(10_000, ge=1, description="Files of one project.")


class WebhookSettings(Group):
    per_project: int = Field(20, ge=0, description="Webhooks that one project may have.")
    timeout: Seconds = Field(timedelta(seconds=10), description="For one delivery, from the name to the answer.")
    concurrency: int = Field(8, ge=1, description="Deliveries under way in one worker.")
    max_attempts: int = Field(10, ge=1, description="Tries before a delivery counts as failed.")
    retry_delay: Seconds = Field(
        timedelta(seconds=5), description="Pause before the second try; it grows fourfold each time, to six hours."
    )
    disable_after: Seconds = Field(
        timedelta(days=3), description="A webhook that has only failed for this time is switched off, with a notice."
    )
    overlap: Seconds = Field(timedelta(hours=24), description="The old secret signs, too, this long after a rotation.")
    retention: Seconds = Field(timedelta(days=14), description="How long ended deliveries are listed.")
    ports: Ports = Field((80, 443, 8080, 8443), description="Ports that URLs of webhooks may name.")
    allowed_networks: Networks = Field((), description="Private networks that webhooks may reach: 127.0.0.1/32, ….")


class StorageSettings(Group):
    backend: Literal["local", "s3"] = Field("local", description="Files are below DATA_DIR, or in a bucket.")
    bucket: str = Field("", max_length=63, description="Its name.")
    prefix: str = Field("", max_length=200, description="Of the names of our files in the bucket.")
    endpoint: str = Field("", description="URL of the store that speaks S3; empty: Amazon's.")
    region: str = Field("us-east-1", max_length=60, description="Region of the bucket.")
    access_key: SecretStr = Field(SecretStr(""), description="Empty: what the machine's own role allows.")
    secret_key: SecretStr = Field(SecretStr(""), description="Belongs to STORAGE_ACCESS_KEY.")
    virtual_hosts: bool = Field(False, description="The bucket's name is in the host instead of the path.")
    timeout: Seconds = Field(timedelta(seconds=60), description="Patience with one request to the store.")
