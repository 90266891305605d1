"""What the quality of a task means in numbers: presets, which settings may change, task types, and single requests."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Quality = Literal["draft", "standard", "high", "ultra"]
QUALITIES: Final[tuple[Quality, ...]] = ("draft", "standard", "high", "ultra")
STANDARD: Final[Quality] = "standard"


class PresetChanges(BaseModel):
    """Single values that differ from those of a preset; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    steps: int | None = Field(None, ge=1, le=200, description="Steps of an image or video model.")
    resolution: int | None = Field(None, ge=64, le=4096, description="Side of a square picture, in pixels.")
    retrieval_depth: int | None = Field(None, ge=1, le=200, description="Passages that a language model is given.")
    max_tokens: int | None = Field(None, ge=16, le=100_000, description="Of one answer of a language model.")
    temperature: float | None = Field(None, ge=0, le=2, description="Of a language model.")
    model: str | None = Field(
        None, max_length=200, pattern=r"^[^\x00]*$", description="Name of a model; empty: the server's own choice."
    )
    passage_tokens: int | None = Field(None, ge=32, le=254, description="Longest passage that a document is cut into.")
    passage_overlap: int | None = Field(None, ge=0, le=128, description="Tokens that neighbouring passages share.")

    def given(self) -> dict[str, int | float | str]:
        """What is not left out."""
        return self.model_dump(exclude_none=True)


class Preset(BaseModel):
    """All values, with the meaning they have in `PresetChanges`."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    steps: int
    resolution: int
    retrieval_depth: int
    max_tokens: int
    temperature: float = 0.2
    model: str = ""
    passage_tokens: int
    passage_overlap: int

    def changed(self, *changes: PresetChanges) -> Self:
        """The same with `changes`, of which the last one wins."""
        values: dict[str, int | float | str] = {}
        for change in changes:
            values |= change.given()
        return self.model_copy(update=values)

    def only(self, names: Iterable[str]) -> dict[str, int | float | str]:
        return self.model_dump(include=set(names))


# Smaller passages point more precisely and cost more to embed.
PRESETS: Final[Mapping[Quality, Preset]] = {
    "draft": Preset(steps=8, resolution=512, retrieval_depth=5, max_tokens=400, passage_tokens=254, passage_overlap=0),
    "standard": Preset(
        steps=24, resolution=1024, retrieval_depth=10, max_tokens=800, passage_tokens=200, passage_overlap=32
    ),
    "high": Preset(
        steps=40, resolution=1536, retrieval_depth=20, max_tokens=1600, passage_tokens=128, passage_overlap=24
    ),
    "ultra": Preset(
        steps=60, resolution=2048, retrieval_depth=40, max_tokens=3200, passage_tokens=96, passage_overlap=24
    ),
}
