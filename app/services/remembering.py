"""Requests to remember something, in the words of those who make them: no model is asked, and nothing is guessed."""

import re
from typing import Final

from app.models import Message, Session, Task

NOTE_CANDIDATE: Final = "note_candidate"

_WISH: Final = re.compile(
    r"^(?:@\S+[,:]?\s+)?(?:please[,:]?\s+|bitte\s+)?"
    r"(?:(?:do\s+)?remember(?:\s+this)?\s*(?::|,?\s+that\s)|note(?:\s+(?:down\s+)?that\s|\s*:)"
    r"|don['\u2019]?t forget that\s|merke?\s+dir,?\s+dass\s|souviens-toi\s+que\s)\s*(?P<what>\S.*)$",
    re.IGNORECASE | re.DOTALL,
)


def wish_in(text: str) -> str | None:
    """What somebody wants remembered; None where nobody asks for it."""
    match = _WISH.match(text.strip())
    if match is None:
        return None
    what = match["what"].strip()
    return what[:1].upper() + what[1:]


def note_task(room: Session, message: Message) -> Task:
    """Puts it among the candidates of whoever said it."""
    return Task(
        project_id=room.project_id,
        owner_id=message.user_id,
        task_type=NOTE_CANDIDATE,
        params={"session_id": str(room.id), "message_id": str(message.id)},
        is_internal=True,
    )
