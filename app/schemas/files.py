"""Files of projects on the wire, and what their paths may be."""

import base64
import binascii
import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated, Final, Self
from urllib.parse import quote
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, computed_field

from app.models import LONGEST_PATH, ProjectFile
from app.schemas.common import Page, Read, Timestamp
from app.schemas.texts import require_line, require_storable

DEEPEST: Final = 16  # folders, and the name itself
LONGEST_NAME: Final = 255  # bytes: what file systems take
PICTURES: Final = frozenset(f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff"))
"""Media types of which a small picture is shown."""
CURSOR: Final = "^[A-Za-z0-9_-]{2,1368}$"
_SPECIAL: Final = re.compile(r'[\\:*?"<>|\ufffd]')  # the last stands for bytes that are no UTF-8
_DEVICE: Final = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")


def normal_path(path: str) -> str:
    """`path` in Unicode's normal form C, so that one file has one name; it can be unpacked on every system.

    Raises:
        ValueError: it leads elsewhere, or some system cannot have such a file.
    """
    normal = unicodedata.normalize("NFC", path)
    if len(normal.encode(errors="replace")) > LONGEST_PATH:
        raise ValueError(f"must have at most {LONGEST_PATH:,} bytes")
    names = normal.split("/")
    if len(names) > DEEPEST:
        raise ValueError(f"must be at most {DEEPEST} levels deep")
    for name in names:
        _require_name(name)
    return normal


def _require_name(name: str) -> None:
    if name in ("", ".", ".."):
        raise ValueError("must be a path such as notes/plan.txt, without empty, . and .. parts")
    require_line(name)
    if _SPECIAL.search(name):
        raise ValueError(r'must not contain any of \ : * ? " < > |')
    if name != name.strip() or name.endswith("."):
        raise ValueError("no part of it may begin with a space, or end with a space or a dot")
    if _DEVICE.fullmatch(name):
        raise ValueError("must not contain a name that some systems keep for devices")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"no part of it may have more than {LONGEST_NAME} bytes")


def _decode_cursor(cursor: object) -> object:
    if not isinstance(cursor, str) or not re.fullmatch(CURSOR, cursor):
        return cursor if cursor is None else _no_cursor()
    try:
        return require_storable(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError):
        return _no_cursor()


def _no_cursor() -> object:
    raise ValueError("not a cursor of this list")


def _normal_prefix(prefix: str) -> str:
    normal = unicodedata.normalize("NFC", require_storable(prefix))
    if len(normal.encode()) > LONGEST_PATH:
        raise ValueError(f"must have at most {LONGEST_PATH:,} bytes")
    return normal


ProjectPath = Annotated[str, Field(description="Such as `notes/plan.txt`."), AfterValidator(normal_path)]
PathPrefix = Annotated[str, AfterValidator(_normal_prefix)]
PathCursor = Annotated[
    str | None, BeforeValidator(_decode_cursor), WithJsonSchema({"type": "string", "pattern": CURSOR})
]


class FileRead(Read):
    """A file of a project. Its `sha256` is its `ETag`, too."""

    id: UUID
    project_id: UUID
    path: str
    size: int
    media_type: str
    sha256: str
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp

    @computed_field  # type: ignore[prop-decorator]  # as pydantic wants it
    @property
    def url(self) -> str:
        return f"/api/v1/projects/{self.project_id}/files/{quote(self.path)}"

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def preview_url(self) -> str | None:
        """A small picture of a picture, the first lines of a text; null for all else."""
        if not has_preview(self.media_type):
            return None
        return f"/api/v1/projects/{self.project_id}/previews/{quote(self.path)}"


class FilePage(Page[FileRead]):
    @classmethod
    def of(cls, rows: Sequence[ProjectFile], limit: int) -> Self:
        """The cursor is the path, so that a page can be followed whatever is removed."""
        shown = rows[:limit]
        following = base64.urlsafe_b64encode(shown[-1].path.encode()).rstrip(b"=").decode() if rows[limit:] else None
        return cls.model_validate({"items": shown, "next_cursor": following})


def is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type in ("application/json", "application/xml", "image/svg+xml")


def has_preview(media_type: str) -> bool:
    return media_type in PICTURES or is_text(media_type)
