"""The fourth door beside HTTP, sockets and the command line: work that runs later, may fail, and is tried again."""

from collections.abc import Sequence

from app.services import Services
from app.services.task_catalogue import TaskHandler, foreign_handlers
from app.tasks.answer_message import AnswerMessage
from app.tasks.call_function import CallFunction
from app.tasks.delete_account import DeleteAccount
from app.tasks.export_project import ExportProject
from app.tasks.extract_memories import ExtractMemories
from app.tasks.image_to_image import ImageToImage
from app.tasks.import_memories import ImportMemories
from app.tasks.ingest_document import IngestDocument
from app.tasks.note_candidate import NoteCandidate
from app.tasks.reembed_project import ReembedProject
from app.tasks.reingest_project import ReingestProject
from app.tasks.render_media import RenderMedia
from app.tasks.summarize_document import SummarizeDocument
from app.tasks.summarize_room import SummarizeRoom
from app.tasks.summarize_session import SummarizeSession
from app.tasks.text_to_image import TextToImage


def build_handlers(services: Services) -> Sequence[TaskHandler]:
    """Everything that a worker can do, what other packages bring along included."""
    productions = services.productions
    own: list[TaskHandler] = [
        AnswerMessage(services.spirit),
        CallFunction(productions.function_calls),
        DeleteAccount(services.erasure),
        ExportProject(productions.project_exports),
        ExtractMemories(services.proposals),
        ImageToImage(productions.pictures),
        ImportMemories(services.imports),
        IngestDocument(services.ingestion),
        NoteCandidate(services.candidates),
        ReembedProject(productions.reembedding),
        ReingestProject(services.documents),
        RenderMedia(services.media_rendering),
        SummarizeDocument(productions.digests),
        SummarizeRoom(services.summaries),
        SummarizeSession(productions.digests),
        TextToImage(productions.pictures),
    ]
    return [*own, *(make(services) for make in foreign_handlers())]
