"""Vector stores, as OpenAI's clients make, fill and search them: projects."""

from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query

from app.api.deps import Actor, Reader, ServicesDep
from app.api.openai_files import MOST_LISTED, After, FileIdInPath, NewestFirst, PageSize
from app.api.routing import Router
from app.schemas.openai_common import (
    DeletedRead,
    OpenAIErrorResponse,
    PageOf,
    StoreId,
    file_id,
    page_of,
    store_id,
    uuid_of,
)
from app.schemas.openai_files import (
    BatchCreate,
    BatchRead,
    ContentPage,
    FoundRead,
    FoundText,
    SearchPage,
    StoreCreate,
    StoreFileCreate,
    StoreFileRead,
    StoreRead,
    StoreSearch,
    StoreUpdate,
    condition_of,
    name_of,
    plain_attributes,
)
from app.services.vector_stores import FoundPassage, Search, Store

router = Router(tags=["openai"])

STORE = "/vector_stores/{vector_store_id}"
NOT_READ: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": OpenAIErrorResponse, "description": "It is not read yet"}
}
StoreIdInPath = Annotated[StoreId, Path()]
BatchIdInPath = Annotated[str, Path(pattern="^vsfb_[0-9a-f]{32}$", max_length=37)]
AfterStore = Annotated[StoreId | None, Query(description="`last_id` of the page before.")]


@router.post("/vector_stores")
async def create_vector_store(actor: Actor, services: ServicesDep, data: StoreCreate) -> StoreRead:
    """Make a project, and put files into it."""
    files = [uuid_of(given) for given in data.file_ids or ()]
    return _store(await services.compatibility.vector_stores.create(actor, data.name, files))


@router.get("/vector_stores")
async def list_vector_stores(
    actor: Actor,
    services: ServicesDep,
    after: AfterStore = None,
    limit: PageSize = 20,
    order: NewestFirst = None,  # noqa: ARG001 - there is no other
) -> PageOf[StoreRead]:
    """Your projects and those shared with you, the newest first."""
    most = min(limit, MOST_LISTED)
    before = uuid_of(after) if after else None
    stores = await services.compatibility.vector_stores.list(actor, before=before, limit=most + 1)
    return page_of([_store(store) for store in stores], most)


@router.get(STORE)
async def get_vector_store(actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath) -> StoreRead:
    """Its name, and how far its files are read."""
    return _store(await services.compatibility.vector_stores.get(actor, uuid_of(vector_store_id)))


@router.post(STORE)
async def update_vector_store(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, data: StoreUpdate
) -> StoreRead:
    """Change its name."""
    return _store(await services.compatibility.vector_stores.rename(actor, uuid_of(vector_store_id), data.name))


@router.delete(STORE)
async def delete_vector_store(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath
) -> DeletedRead[Literal["vector_store.deleted"]]:
    """Delete a project and the files in it. Rooms, memories or other things in it are in the way (409)."""
    await services.compatibility.vector_stores.delete(actor, uuid_of(vector_store_id))
    return DeletedRead(id=vector_store_id, object="vector_store.deleted")


@router.post(f"{STORE}/search")
async def search_vector_store(
    actor: Reader, services: ServicesDep, vector_store_id: StoreIdInPath, data: StoreSearch
) -> SearchPage:
    """Find passages by meaning and by words at once."""
    passages = await services.compatibility.vector_stores.search(actor, uuid_of(vector_store_id), _wanted(data))
    return SearchPage(search_query=data.queries, data=[_found(passage) for passage in passages])


@router.post(f"{STORE}/files")
async def create_vector_store_file(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, data: StoreFileCreate
) -> StoreFileRead:
    """Put a file into the store. It moves there from the default project; from another store it is copied."""
    store, file = uuid_of(vector_store_id), uuid_of(data.file_id)
    return StoreFileRead.of(
        await services.compatibility.vector_stores.attach(actor, store, file, data.attributes), data.file_id
    )


@router.get(f"{STORE}/files")
async def list_vector_store_files(
    actor: Actor,
    services: ServicesDep,
    vector_store_id: StoreIdInPath,
    after: After = None,
    limit: PageSize = 20,
    order: NewestFirst = None,  # noqa: ARG001 - there is no other - there is one
) -> PageOf[StoreFileRead]:
    """The newest first."""
    most, before = min(limit, MOST_LISTED), uuid_of(after) if after else None
    rows = await services.compatibility.vector_stores.list_files(
        actor, uuid_of(vector_store_id), before=before, limit=most + 1
    )
    return page_of([StoreFileRead.of(row) for row in rows], most)


@router.get(f"{STORE}/files/{{file_id}}")
async def get_vector_store_file(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, file_id: FileIdInPath
) -> StoreFileRead:
    """How far it is read."""
    row = await services.compatibility.vector_stores.get_file(actor, uuid_of(vector_store_id), uuid_of(file_id))
    return StoreFileRead.of(row, file_id)


@router.delete(f"{STORE}/files/{{file_id}}")
async def delete_vector_store_file(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, file_id: FileIdInPath
) -> DeletedRead[Literal["vector_store.file.deleted"]]:
    """Take a file of yours out of the store, back into the default project."""
    await services.compatibility.vector_stores.detach(actor, uuid_of(vector_store_id), uuid_of(file_id))
    return DeletedRead(id=file_id, object="vector_store.file.deleted")


@router.get(f"{STORE}/files/{{file_id}}/content", responses=NOT_READ)
async def get_vector_store_file_content(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, file_id: FileIdInPath
) -> ContentPage:
    """The text that was read in it."""
    text = await services.compatibility.vector_stores.text(actor, uuid_of(vector_store_id), uuid_of(file_id))
    return ContentPage(data=[FoundText(text=text)])


@router.post(f"{STORE}/file_batches")
async def create_file_batch(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, data: BatchCreate
) -> BatchRead:
    """Put several files into the store. What is told of the batch is the state of the whole store."""
    files = [uuid_of(given) for given in data.file_ids]
    return _batch(
        await services.compatibility.vector_stores.attach_all(actor, uuid_of(vector_store_id), files, data.attributes)
    )


@router.get(f"{STORE}/file_batches/{{batch_id}}")
async def get_file_batch(
    actor: Actor, services: ServicesDep, vector_store_id: StoreIdInPath, batch_id: BatchIdInPath
) -> BatchRead:
    """How far the store's files are read."""
    return _batch(
        await services.compatibility.vector_stores.get_batch(actor, uuid_of(vector_store_id), uuid_of(batch_id))
    )


def _store(store: Store) -> StoreRead:
    return StoreRead.of(store.project, store.counts, store.size)


def _batch(store: Store) -> BatchRead:
    told = _store(store)
    return BatchRead(
        id=f"vsfb_{store.project.id.hex}",
        created_at=told.created_at,
        vector_store_id=store_id(store.project.id),
        status=told.status,
        file_counts=told.file_counts,
    )


def _wanted(data: StoreSearch) -> Search:
    options = data.ranking_options
    return Search(
        data.queries,
        where=None if data.filters is None else condition_of(data.filters),
        most=data.max_num_results or 10,
        threshold=(options and options.score_threshold) or 0.0,
        is_quick=bool(options and options.ranker == "none"),
    )


def _found(passage: FoundPassage) -> FoundRead:
    page = {} if passage.hit.page is None else {"page": float(passage.hit.page)}
    return FoundRead(
        file_id=file_id(passage.document.id),
        filename=name_of(passage.document),
        score=passage.hit.score,
        attributes=plain_attributes(passage.document.attributes) | page,
        content=[FoundText(text=passage.hit.text)],
    )
