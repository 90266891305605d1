"""The fourth door beside HTTP, sockets and the command line: work that runs later, may fail, and is tried again."""

from collections.abc import Sequence

from app.services import Services
from app.services.task_catalogue import TaskHandler, foreign_handlers
from app.tasks.answer_message import AnswerMessage
from app.tasks.delete_account import DeleteAccount
from app.tasks.extract_memories import ExtractMemories
from app.tasks.ingest_document import IngestDocument
from app.tasks.note_candidate import NoteCandidate
from app.tasks.reingest_project import ReingestProject
from app.tasks.render_media import RenderMedia
from app.tasks.summarize_room import SummarizeRoom


def build_handlers(services: Services) -> Sequence[TaskHandler]:
    """Everything that a worker can do, what other packages bring along included."""
    own: list[TaskHandler] = [
        AnswerMessage(services.spirit),
        DeleteAccount(services.erasure),
        ExtractMemories(services.proposals),
        IngestDocument(services.ingestion),
        NoteCandidate(services.candidates),
        ReingestProject(services.documents),
        RenderMedia(services.media_rendering),
        SummarizeRoom(services.summaries),
    ]
    return [*own, *(make(services) for make in foreign_handlers())]
