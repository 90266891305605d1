"""What the quality of a task means for documents: smaller passages point more precisely and cost more to embed."""

from collections.abc import Mapping
from typing import Final

from app.services.ingestion import PassageSize

PASSAGES: Final[Mapping[str, PassageSize]] = {
    "draft": PassageSize(max_tokens=254, overlap=0),
    "standard": PassageSize(max_tokens=200, overlap=32),
    "high": PassageSize(max_tokens=128, overlap=24),
    "ultra": PassageSize(max_tokens=96, overlap=24),
}
