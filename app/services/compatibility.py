"""What there is for those who speak OpenAI's protocol, wired."""

from dataclasses import dataclass

from app.foundation import Foundation
from app.repositories import OpenUnitOfWork
from app.services.answers import AnswerService
from app.services.completions import CompletionService
from app.services.documents import DocumentService
from app.services.embeddings import EmbeddingService
from app.services.limits import LimitService
from app.services.model_names import ModelNames
from app.services.projects import ProjectService
from app.services.retrieval import RetrievalService
from app.services.vector_stores import VectorStoreService


@dataclass(frozen=True, slots=True)
class Compatibility:
    completions: CompletionService
    embeddings: EmbeddingService
    models: ModelNames
    vector_stores: VectorStoreService


def build_openai(
    foundation: Foundation,
    uow: OpenUnitOfWork,
    answers: AnswerService,
    documents: DocumentService,
    limits: LimitService,
    projects: ProjectService,
    retrieval: RetrievalService,
) -> Compatibility:
    models = ModelNames(uow, foundation.llm, embedding_model=foundation.embedder.model)
    return Compatibility(
        completions=CompletionService(answers, models, foundation.llm, limits),
        embeddings=EmbeddingService(foundation.embedder),
        models=models,
        vector_stores=VectorStoreService(uow, projects, documents, retrieval),
    )
