"""Functions that run outside: how they are called, and what their runners say of them."""

from functools import partial
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field

from app.schemas.base import Schema
from app.schemas.common import Read
from app.schemas.documents import require_plain
from app.schemas.files import ProjectPath
from app.schemas.texts import LINES, Truth, require_lines, shown_as

MOST_BYTES: Final = 65_536
LONGEST_URL: Final = 2_048
LONGEST_DAY: Final = 86_400  # seconds

PlainObject = Annotated[dict[str, Any], AfterValidator(partial(require_plain, max_bytes=MOST_BYTES))]
Said = Annotated[str, Field(max_length=500), AfterValidator(require_lines), shown_as(LINES)]


class CallFunctionParams(Schema):
    """Call a function at a runner outside; `input` is what it is given.

    What it delivers is put into `folder`, left out: one of its own below `functions`.
    """

    model_config = ConfigDict(extra="forbid")

    url: str = Field(max_length=LONGEST_URL, examples=["https://functions.example.org/render"])
    function: str = Field("", max_length=100, pattern=r"^[\w.-]*$", description="A name that the runner knows it by.")
    input: PlainObject = Field(default_factory=dict)
    timeout_seconds: int = Field(600, ge=1, le=LONGEST_DAY, description="How long it may take.")
    folder: ProjectPath | None = None


class FunctionProgress(Schema):
    """`preview`: the path of a file that the runner has delivered, to be shown meanwhile."""

    model_config = ConfigDict(extra="forbid")

    progress: float = Field(ge=0, le=1)
    message: Said = ""
    preview: ProjectPath | None = None


class FunctionResult(Schema):
    model_config = ConfigDict(extra="forbid")

    result: PlainObject = Field(default_factory=dict)


class FunctionFailure(Schema):
    """`retry`: calling it again later may go well."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[Said, Field(min_length=1)]
    retry: Truth = False


class FunctionSecretRead(Read):
    """What a runner verifies the signatures of a project's calls with."""

    secret: str
