"""What a project may hold beside its documents, and how others are told of it."""

from datetime import timedelta

from pydantic import Field

from app.setting_values import Group, Networks, Ports, Seconds


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
