"""What goes over the wire. Written by `make docs` from the server's classes; do not edit.

Ids are UUIDs, times are ISO 8601. Dictionaries at run time: nothing is checked or converted.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

class APIKeyCreate(TypedDict):
    name: str
    scopes: NotRequired[list[Scope]]
    expires_at: NotRequired[str | None]
    limits: NotRequired[dict[str, str]]

class APIKeyCreated(TypedDict):
    """The only time that the key itself is shown."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    limits: dict[str, str]
    expires_at: str | None
    last_used_at: str | None
    created_at: str
    key: str

class APIKeyRead(TypedDict):
    """`prefix` is how the key begins, for telling keys apart."""

    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    limits: dict[str, str]
    expires_at: str | None
    last_used_at: str | None
    created_at: str

class APIKeyUpdate(TypedDict):
    """What is left out stays as it is; `limits` replace those that were there."""

    name: NotRequired[str | None]
    limits: NotRequired[dict[str, str] | None]

class AccountDeletion(TypedDict):
    """`password` is needed where the account has one; without one, the log-in must be younger than five minutes. `erase_messages` also empties what was said in the rooms of others, where it stands without a name otherwise. `delete_shared_projects` deletes projects that others work in, and that have no other owner."""

    password: NotRequired[str | None]
    erase_messages: NotRequired[bool]
    delete_shared_projects: NotRequired[bool]

class AddReaction(TypedDict):
    type: Literal['add_reaction']
    message_id: str
    emoji: str

class AdminTaskRead(TypedDict):
    """A task without what it works on and without what came of it; internal ones are not listed to users."""

    id: str
    project_id: str
    owner_id: str
    task_type: str
    quality: str
    status: TaskStatus
    progress: float
    error_code: str | None
    attempts: int
    priority: int
    is_internal: bool
    cancel_requested: bool
    run_after: str
    created_at: str
    started_at: str | None
    finished_at: str | None

class AdminUserRead(TypedDict):
    """An account, as admins see it."""

    id: str
    email: str | None
    name: str
    role: Role
    is_active: bool
    email_verified_at: str | None
    created_at: str
    updated_at: str

class AdminUserUpdate(TypedDict):
    """What is left out stays as it is; nothing else can be changed for somebody."""

    name: NotRequired[str | None]
    role: NotRequired[Literal['user', 'admin'] | None]
    is_active: NotRequired[bool | None]

class AnswerMessage(TypedDict):
    """`citations`: what bears the markers `[n]` of the answer out."""

    role: NotRequired[Literal['assistant']]
    content: str | None
    refusal: NotRequired[str | None]
    tool_calls: NotRequired[list[dict[str, Any]] | None]
    citations: NotRequired[list[Citation] | None]

class AnswerRead(TypedDict):
    """An answer that was kept: as `QueryResult`, also while it is `running`, or when it has `failed`."""

    id: str
    question: str
    status: Literal['running', 'complete', 'stopped', 'failed']
    answer: str
    citations: list[Citation]
    sentences: list[SentenceRead]
    grounded: bool
    model: str
    usage: UsageRead
    timings_ms: dict[str, float]
    error: ErrorEvent | None
    created_at: str

class AuditEntryRead(TypedDict):
    """Who (`actor_id`, and by which key), what, on what, from where; ids, so that it outlives names."""

    id: str
    created_at: str
    actor_id: str | None
    key_id: str | None
    action: str
    target_type: str | None
    target_id: str | None
    address: str
    request_id: str
    details: dict[str, Any]

class Authenticate(TypedDict):
    type: Literal['authenticate']
    token: str

class BatchCreate(TypedDict):
    file_ids: list[str]
    attributes: NotRequired[dict[str, Any] | None]

class BatchRead(TypedDict):
    """Files that were put into a store together; told is the state of the whole store."""

    id: str
    object: NotRequired[Literal['vector_store.files_batch']]
    created_at: int
    vector_store_id: str
    status: Literal['in_progress', 'completed']
    file_counts: FileCounts

class BucketRead(TypedDict):
    """A day, a month or a year, by its first day: how many memories, the people and places that most have, titles."""

    start: str
    count: int
    people: list[Counted]
    places: list[Counted]
    titles: list[str]

Budget: TypeAlias = Literal['requests', 'uploads', 'queries', 'messages', 'frames', 'tokens', 'login', 'failures', 'mails']

class CancelTask(TypedDict):
    type: Literal['cancel_task']
    task_id: str

class CandidateAccept(TypedDict):
    """`merge`: into the memory that says the same, if there is one; else it becomes a memory of its own."""

    merge: NotRequired[bool]

class CandidateRead(TypedDict):
    """What somebody asked to remember, or the language model proposed; nothing finds it until it is accepted. `duplicate_of`: a memory that says the same of the same time. `memory_id`: what it became, or was merged into."""

    id: str
    status: CandidateStatus
    title: str
    content: str
    occurred_at: str
    occurred_end: str | None
    occurred_local: str
    precision: Precision
    people: list[str]
    source: SourceRead
    duplicate_of: str | None
    memory_id: str | None
    created_at: str
    updated_at: str

CandidateStatus: TypeAlias = Literal['proposed', 'accepted', 'dropped']

class CandidateUpdate(TypedDict):
    """What is left out or null stays as it is."""

    title: NotRequired[str | None]
    content: NotRequired[str | None]
    occurred_at: NotRequired[str | None]
    people: NotRequired[list[str] | None]

class ChatChoice(TypedDict):
    index: NotRequired[int]
    message: AnswerMessage
    logprobs: NotRequired[dict[str, Any] | None]
    finish_reason: str

class ChatCompletion(TypedDict):
    id: str
    object: NotRequired[Literal['chat.completion']]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage

class ChatMessage(TypedDict):
    """`content` is a text, or parts of it; of a part that is none, a picture for example, only models know."""

    role: Literal['system', 'developer', 'user', 'assistant', 'tool']
    content: NotRequired[str | list[dict[str, Any]] | None]
    name: NotRequired[str | None]
    tool_calls: NotRequired[list[dict[str, Any]] | None]
    tool_call_id: NotRequired[str | None]

class ChatRequest(TypedDict):
    """With `hearth` the answer is made from the caller's documents, and sampling is the operator's; with tools, or with `hearth-raw`, the language model is passed all of this."""

    tools: NotRequired[list[dict[str, Any]] | None]
    tool_choice: NotRequired[Literal['none', 'auto', 'required'] | dict[str, Any] | None]
    parallel_tool_calls: NotRequired[bool | None]
    response_format: NotRequired[dict[str, Any] | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    stop: NotRequired[str | list[str] | None]
    seed: NotRequired[int | None]
    presence_penalty: NotRequired[float | None]
    frequency_penalty: NotRequired[float | None]
    logprobs: NotRequired[bool | None]
    top_logprobs: NotRequired[int | None]
    reasoning_effort: NotRequired[str | None]
    model: str
    messages: list[ChatMessage]
    stream: NotRequired[bool | None]
    stream_options: NotRequired[StreamOptions | None]
    max_tokens: NotRequired[int | None]
    max_completion_tokens: NotRequired[int | None]
    n: NotRequired[int | None]

class ChatUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

class CheckLegRead(TypedDict):
    """The best that a ranker says about the document; null where it finds nothing in it."""

    name: str
    best_score: float | None

class CheckRead(TypedDict):
    status: Literal['healthy', 'degraded', 'unhealthy']
    latency_ms: float | None
    message: str | None

class ChunkPage(TypedDict):
    items: list[ChunkRead]
    next_cursor: str | None

class ChunkRead(TypedDict):
    """A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text."""

    id: str
    ordinal: int
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    token_count: int

class Citation(TypedDict):
    """A passage that supports an answer: `quote` stands verbatim at `char_start`:`char_end` of the document's text, or of the memory's content (of its title, where it has no content). Of the two ids one is null."""

    marker: int
    document_id: str | None
    memory_id: str | None
    title: str
    page: int | None
    char_start: int
    char_end: int
    quote: str
    document_version: str | None

class ContentPage(TypedDict):
    """The text that was read in a file."""

    object: NotRequired[Literal['list']]
    data: list[FoundText]
    has_more: NotRequired[Literal[False]]
    next_page: NotRequired[None]

class CookieSessionRead(TypedDict):
    """`csrf_token` goes into `X-CSRF-Token`; null for a caller without a cookie."""

    user: UserRead
    csrf_token: str | None

class Coordinates(TypedDict):
    """Degrees."""

    latitude: float
    longitude: float

class Counted(TypedDict):
    """Somebody or somewhere, and in how many memories of a bucket."""

    id: str
    name: str
    count: int

class CutRead(TypedDict):
    id: str
    document_id: str | None
    memory_id: str | None
    title: str
    page: int | None
    score: float
    scores: ScoresRead
    places: dict[str, int]
    reason: str

class DeleteMessage(TypedDict):
    """One's own, or as a host anybody's."""

    type: Literal['delete_message']
    message_id: str

class DeletedReadLiteralfile(TypedDict):
    id: str
    object: Literal['file']
    deleted: NotRequired[Literal[True]]

class DeliveryDetails(TypedDict):
    """`frame` is the event as it is told everywhere; the message has it as `data`."""

    id: str
    webhook_id: str
    message_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    tries: list[DeliveryTry]
    next_attempt_at: str | None
    created_at: str
    finished_at: str | None
    frame: dict[str, Any]

class DeliveryRead(TypedDict):
    """An event on its way. `message_id` is the event's own id, and what `webhook-id` says, however often it is sent."""

    id: str
    webhook_id: str
    message_id: str
    event_type: str
    status: DeliveryStatus
    attempts: int
    tries: list[DeliveryTry]
    next_attempt_at: str | None
    created_at: str
    finished_at: str | None

DeliveryStatus: TypeAlias = Literal['pending', 'succeeded', 'failed']

class DeliveryTry(TypedDict):
    """`status_code` is null where no answer came; `error` says why. `response`: how the answer begins."""

    at: str
    status_code: int | None
    latency_ms: int
    error: str | None
    response: str

class DeviceRead(TypedDict):
    """Somewhere you are signed in: by a cookie in a browser, or by tokens in a program."""

    id: str
    kind: LoginKind
    user_agent: str
    address: str
    is_current: bool
    created_at: str
    last_used_at: str
    expires_at: str

class DocumentCheck(TypedDict):
    """Why a document does or does not come up for a question: `reasons` in words, the rest for programs. `rank` is the place of its best passage among all that the caller may see, null beyond `looked_at` places. `missing_words` are those of the question that stand nowhere in it."""

    document_id: str
    status: str
    found: bool
    rank: int | None
    looked_at: int
    relevance: float | None
    floor: float
    legs: list[CheckLegRead]
    missing_words: list[str]
    passages: list[HitRead]
    reasons: list[str]

class DocumentCountRead(TypedDict):
    status: DocumentStatus
    count: int
    bytes: int

class DocumentError(TypedDict):
    """Why a document could not be read: `code` for programs, `message` for people."""

    code: str
    message: str

class DocumentRead(TypedDict):
    """`size` in bytes; `sha256` of the original in hexadecimal; `error` says why a document has `failed`. `source_url` is where it was fetched from; null for a file or a text that was sent."""

    id: str
    project_id: str
    title: str
    filename: str | None
    source_url: str | None
    media_type: str
    size: int
    sha256: str
    status: DocumentStatus
    error: DocumentError | None
    page_count: int | None
    chunk_count: int | None
    metadata: dict[str, Any]
    created_at: str
    updated_at: str

DocumentStatus: TypeAlias = Literal['pending', 'processing', 'ready', 'failed']

class DocumentUpdate(TypedDict):
    """What is left out or null stays as it is; `metadata` is replaced as a whole."""

    title: NotRequired[str | None]
    metadata: NotRequired[dict[str, Any] | None]

class EditMessage(TypedDict):
    """One's own; the spirit does not answer it again."""

    type: Literal['edit_message']
    message_id: str
    text: str

class EmailChange(TypedDict):
    """The address changes once the new one is confirmed."""

    email: str
    current_password: str

class EmailVerification(TypedDict):
    """`token` stands in the link of the mail, behind `#token=`."""

    token: str

class EmbeddingRead(TypedDict):
    """Numbers, or their 32-bit form in base64, little-endian."""

    object: NotRequired[Literal['embedding']]
    index: int
    embedding: list[float] | str

class EmbeddingRequest(TypedDict):
    """Texts, not token numbers, whose meaning only the models of others know."""

    model: str
    input: str | list[str]
    encoding_format: NotRequired[Literal['float', 'base64'] | None]
    dimensions: NotRequired[int | None]

class EmbeddingResult(TypedDict):
    object: NotRequired[Literal['list']]
    data: list[EmbeddingRead]
    model: str
    usage: EmbeddingUsage

class EmbeddingUsage(TypedDict):
    prompt_tokens: int
    total_tokens: int

class ErrorBody(TypedDict):
    code: str
    message: str
    details: dict[str, Any]

class ErrorEvent(TypedDict):
    """Last, instead of `done`: why the answer ends here."""

    code: str
    message: str

class ErrorOccurred(TypedDict):
    """A frame was refused; the connection lives on."""

    type: Literal['error']
    id: str
    timestamp: str
    session_id: str | None
    project_id: str | None
    error_code: str
    message: str
    details: dict[str, Any]

class ErrorResponse(TypedDict):
    """The form of every error."""

    error: ErrorBody
    request_id: str
    timestamp: str

class Explanation(TypedDict):
    """How a search came to its result. `candidates` is how many passages each ranker may name. `words` are those that were looked for, with the number of passages that have them."""

    passages: int
    method: Literal['scan', 'index']
    vector_store: Literal['pgvector', 'chroma']
    fallback: str | None
    candidates: int
    words: dict[str, int]
    legs: list[LegRead]
    filters: dict[str, Any]
    readings: list[ReadingRead]
    memories: int
    hits: list[PlaceRead]
    cut: list[CutRead]

ExportFormat: TypeAlias = Literal['jsonl', 'csv']

class FileChanged(TypedDict):
    """Durable. `change` is created, updated or deleted; `version` is what the file's `ETag` says."""

    type: Literal['file_changed']
    id: str
    timestamp: str
    project_id: str
    seq: int
    path: str
    change: str
    size: int
    media_type: str
    version: str
    by: str | None

class FileCounts(TypedDict):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int

class FilePage(TypedDict):
    items: list[appschemasfilesFileRead]
    next_cursor: str | None

class FileSearchTool(TypedDict):
    """Where to look: in these projects alone, and in documents with such metadata."""

    type: Literal['file_search']
    vector_store_ids: list[str]
    max_num_results: NotRequired[int | None]
    filters: NotRequired[dict[str, Any] | None]

class FoundRead(TypedDict):
    """A passage. `attributes`: of its document, and the `page` where it has one."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[FoundText]

class FoundText(TypedDict):
    type: NotRequired[Literal['text']]
    text: str

class FunctionFailure(TypedDict):
    """`retry`: calling it again later may go well."""

    message: str
    retry: NotRequired[bool]

class FunctionProgress(TypedDict):
    """`preview`: the path of a file that the runner has delivered, to be shown meanwhile."""

    progress: float
    message: NotRequired[str]
    preview: NotRequired[str | None]

class FunctionResult(TypedDict):
    result: NotRequired[dict[str, Any]]

class FunctionSecretRead(TypedDict):
    """What a runner verifies the signatures of a project's calls with."""

    secret: str

class FunctionTool(TypedDict):
    """For the language model."""

    type: Literal['function']
    name: str
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]

class HealthRead(TypedDict):
    status: Literal['healthy', 'degraded', 'unhealthy']
    version: str
    timestamp: str
    checks: dict[str, CheckRead]

class HitRead(TypedDict):
    """A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text, or of the memory's content (of its title, where it has no content). Of the two ids one is null."""

    source: Literal['documents', 'memories', 'messages']
    id: str
    document_id: str | None
    memory_id: str | None
    title: str
    text: str
    page: int | None
    heading: str | None
    char_start: int
    char_end: int
    score: float
    scores: ScoresRead

class IdentityDepartureRead(TypedDict):
    """Send the browser there, within ten minutes; the cookie that came along has to be in it."""

    url: str

class IdentityLink(TypedDict):
    redirect_to: NotRequired[str]

class IdentityRead(TypedDict):
    """An account of an OpenID provider that opens yours. `email` is what the provider told when it was last used."""

    id: str
    issuer: str
    subject: str
    email: str | None
    created_at: str
    updated_at: str

class ImportProblem(TypedDict):
    """`is_skipped`: nothing was made of what stands at this line."""

    line: int
    message: str
    is_skipped: bool

class ImportRead(TypedDict):
    """A file of memories on its way in, for your eyes alone. Of its `records`, as far as they were read, `created` are new memories, `updated` said something else than the last time, `unchanged` said the same, and `failed` could not be read; the first hundred `problems` are kept."""

    id: str
    task_id: str | None
    filename: str | None
    format: Literal['jsonl', 'csv', 'ical', 'archive', 'photos']
    source: str
    timezone: str
    size: int
    status: TaskStatus
    progress: float
    records: int
    created: int
    updated: int
    unchanged: int
    failed: int
    problems: list[ImportProblem]
    error: dict[str, Any] | None
    created_at: str
    updated_at: str
    finished_at: str | None

ImportStarted = TypedDict('ImportStarted', {'import': 'ImportRead', 'task': 'TaskRead'})

class InfoRead(TypedDict):
    name: str
    version: str
    api_version: str
    environment: str
    registration: str
    sign_in_with: str | None
    embedding_model: str
    llm_model: str | None
    features: list[str]
    media_types: list[str]
    limits: Limits

class IngestionRead(TypedDict):
    """A document and the work on it; `task` is null when there is nothing left to do."""

    document: DocumentRead
    task: TaskRead | None

class InviteCreate(TypedDict):
    """`expires_in` in seconds."""

    max_uses: NotRequired[int]
    expires_in: NotRequired[int]

class InviteListRead(TypedDict):
    """An invite that can still be used."""

    id: str
    session_id: str
    created_by: str
    uses_left: int
    expires_at: str
    created_at: str

class InviteRead(TypedDict):
    """`invite` is shown this once."""

    id: str
    invite: str
    session_id: str
    max_uses: int
    expires_at: str

class JoinedRead(TypedDict):
    """`access_token` opens this room alone; null for a caller who is signed in already. `expires_in` in seconds."""

    session: SessionRead
    user: Person
    access_token: str | None
    token_type: str
    expires_in: int | None

class LegRead(TypedDict):
    """A ranker's part: the `named` passages are its best; `weight` is what it counts in the score."""

    name: str
    weight: float
    named: int

class Limits(TypedDict):
    """`document_bytes`, `media_bytes` and `body_bytes` in bytes, `message_characters` in code points."""

    document_bytes: int
    media_bytes: int
    media_per_memory: int
    body_bytes: int
    message_characters: int
    frame_bytes: int

class LimitsRead(TypedDict):
    """`defaults` are the settings', by budget; `roles` have others. A key's own stand before both."""

    defaults: dict[str, str]
    roles: list[RoleLimitRead]

class ListOfModelRead(TypedDict):
    object: NotRequired[Literal['list']]
    data: list[ModelRead]

class LiveRead(TypedDict):
    status: Literal['alive']

class LocationCreate(TypedDict):
    name: str
    coordinates: NotRequired[Coordinates | None]

class LocationRead(TypedDict):
    """A place in your memories, and in how many; `distance` in metres, where a list is asked for what is near."""

    id: str
    name: str
    coordinates: Coordinates | None
    memory_count: int
    distance: float | None
    created_at: str
    updated_at: str

class LocationUpdate(TypedDict):
    """What is left out or null stays as it is."""

    name: NotRequired[str | None]
    coordinates: NotRequired[Coordinates | None]

LoginKind: TypeAlias = Literal['token', 'cookie']

class Logout(TypedDict):
    """A refresh token of another log-in of yours ends that one, too."""

    refresh_token: NotRequired[str | None]

class MailPromise(TypedDict):
    """What will happen by mail."""

    message: str

class MarkRead(TypedDict):
    """Everything up to the number `seq` was read; a marker never moves back."""

    type: Literal['mark_read']
    seq: int

class MediaError(TypedDict):
    """Why a picture could not be prepared: `code` for programs, `message` for people."""

    code: str
    message: str

class MediaRead(TypedDict):
    """A picture, a sound, a film or another file of a memory; `media_type` is told from its bytes, `size` is in bytes. Width and height are those of the picture as it is to be seen, turned upright. `taken_at` is what the camera wrote, `2023-07-04T23:30:00`, with an offset where it knew one. That, `coordinates` and `sha256` are for who added the file alone, unless it `keeps_metadata`: then everybody gets it as it was uploaded."""

    id: str
    memory_id: str
    added_by: str | None
    kind: Literal['image', 'audio', 'video', 'file']
    media_type: str
    filename: str | None
    size: int
    sha256: str | None
    status: MediaStatus
    error: MediaError | None
    width: int | None
    height: int | None
    frames: int | None
    orientation: int | None
    taken_at: str | None
    coordinates: Place | None
    keeps_metadata: bool
    thumbnails: list[ThumbnailRead]
    created_at: str
    updated_at: str
    content_url: str

MediaStatus: TypeAlias = Literal['processing', 'ready', 'failed']

class MediaUpdate(TypedDict):
    """What is left out or null stays as it is."""

    keeps_metadata: NotRequired[bool | None]

class MemberPut(TypedDict):
    email: str
    role: NotRequired[ProjectRole]

class MemberRead(TypedDict):
    user_id: str
    name: str
    email: str | None
    role: ProjectRole

class MemoryCreate(TypedDict):
    """Something that happened, as far as it is known. Nobody else sees it without a `project_id`."""

    title: NotRequired[str | None]
    content: NotRequired[str]
    occurred_at: NotRequired[str | None]
    occurred_end: NotRequired[str | None]
    precision: NotRequired[Precision | None]
    tags: NotRequired[list[str]]
    people: NotRequired[list[PersonById | PersonByName]]
    location: NotRequired[PlaceById | PlaceByName | None]
    links: NotRequired[MemoryLinks]
    project_id: NotRequired[str | None]

class MemoryLinks(TypedDict):
    """What a memory hangs together with; documents and messages that you may see, and memories."""

    document_ids: NotRequired[list[str]]
    message_ids: NotRequired[list[str]]
    memory_ids: NotRequired[list[str]]

class MemoryRead(TypedDict):
    """A memory. `occurred_local` is what the clock showed where it happened, which calendars go by; of a day, a month or a year (`precision`) it is the beginning. `created_at` is when it was written down. Links lead to what you may see; `project_id` is null where nobody else sees the memory."""

    id: str
    owner_id: str
    project_id: str | None
    title: str
    content: str
    occurred_at: str
    occurred_end: str | None
    occurred_local: str
    precision: Precision
    tags: list[str]
    people: list[PersonInMemory]
    location: PlaceOfMemory | None
    links: MemoryLinks
    media: list[MediaRead]
    source: SourceRead
    created_at: str
    updated_at: str
    deleted_at: str | None

class MemoryUpdate(TypedDict):
    """What is left out stays; `people`, `tags` and `links` are replaced as a whole. Null takes away `occurred_end`, `location`, and with `project_id` the sharing."""

    title: NotRequired[str | None]
    content: NotRequired[str | None]
    occurred_at: NotRequired[str | None]
    occurred_end: NotRequired[str | None]
    precision: NotRequired[Precision | None]
    tags: NotRequired[list[str] | None]
    people: NotRequired[list[PersonById | PersonByName] | None]
    location: NotRequired[PlaceById | PlaceByName | None]
    links: NotRequired[MemoryLinks | None]
    project_id: NotRequired[str | None]

class MessageCreate(TypedDict):
    """`client_id`: the same one sent again makes no second message. `reply_to`: a message of the same room."""

    text: str
    client_id: NotRequired[str | None]
    reply_to: NotRequired[str | None]

class MessageDeleted(TypedDict):
    """Durable. `user_id`: who deleted it, its author or a host."""

    type: Literal['message_deleted']
    id: str
    timestamp: str
    session_id: str
    seq: int
    message_id: str
    user_id: str

class MessageEdited(TypedDict):
    """Durable. `text` is null in a replay where a later event edits the message again, or deletes it."""

    type: Literal['message_edited']
    id: str
    timestamp: str
    session_id: str
    seq: int
    message_id: str
    user_id: str
    text: str | None
    edited_at: str

class MessageRead(TypedDict):
    """`seq` is the message's number in the room; `citations` are the spirit's. A deleted message has no text."""

    id: str
    session_id: str
    seq: int
    user_id: str | None
    user_name: str
    text: str
    is_spirit: bool
    is_partial: bool
    citations: list[Citation]
    client_id: str | None
    in_reply_to: str | None
    reply_to: str | None
    reactions: list[ReactionRead]
    timestamp: str
    edited_at: str | None
    deleted_at: str | None

class MessageReceived(TypedDict):
    """Durable. `id`, `seq` and `timestamp` are the message's own; a replay shows it as it is by now. A deleted one has no text. A spirit's is `is_partial` when somebody stopped it, or its end was lost."""

    type: Literal['message_received']
    id: str
    timestamp: str
    session_id: str
    seq: int
    user_id: str | None
    user_name: str
    text: str
    is_spirit: bool
    citations: list[Citation]
    client_id: str | None
    in_reply_to: str | None
    reply_to: str | None
    is_partial: bool
    edited_at: str | None
    deleted_at: str | None

class MessageUpdate(TypedDict):
    text: str

class MessagesRead(TypedDict):
    """Durable. Somebody has read everything up to the message with the number `last_read_seq`."""

    type: Literal['read']
    id: str
    timestamp: str
    session_id: str
    seq: int
    user_id: str
    last_read_seq: int

class ModelRead(TypedDict):
    id: str
    object: NotRequired[Literal['model']]
    created: int
    owned_by: str

class OnThisDay(TypedDict):
    """Memories of this day of other years, and of this one; the newest first."""

    date: str
    items: list[MemoryRead]
    next_cursor: str | None

class OpenAIError(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None

class OpenAIErrorResponse(TypedDict):
    """The form of every error below `/v1`."""

    error: OpenAIError

class OutputTokenDetails(TypedDict):
    reasoning_tokens: NotRequired[int]

class PageAPIKeyRead(TypedDict):
    items: list[APIKeyRead]
    next_cursor: str | None

class PageAdminTaskRead(TypedDict):
    items: list[AdminTaskRead]
    next_cursor: str | None

class PageAdminUserRead(TypedDict):
    items: list[AdminUserRead]
    next_cursor: str | None

class PageAuditEntryRead(TypedDict):
    items: list[AuditEntryRead]
    next_cursor: str | None

class PageCandidateRead(TypedDict):
    items: list[CandidateRead]
    next_cursor: str | None

class PageDeliveryRead(TypedDict):
    items: list[DeliveryRead]
    next_cursor: str | None

class PageDeviceRead(TypedDict):
    items: list[DeviceRead]
    next_cursor: str | None

class PageDocumentRead(TypedDict):
    items: list[DocumentRead]
    next_cursor: str | None

class PageIdentityRead(TypedDict):
    items: list[IdentityRead]
    next_cursor: str | None

class PageImportRead(TypedDict):
    items: list[ImportRead]
    next_cursor: str | None

class PageInviteListRead(TypedDict):
    items: list[InviteListRead]
    next_cursor: str | None

class PageLocationRead(TypedDict):
    items: list[LocationRead]
    next_cursor: str | None

class PageMediaRead(TypedDict):
    items: list[MediaRead]
    next_cursor: str | None

class PageMemberRead(TypedDict):
    items: list[MemberRead]
    next_cursor: str | None

class PageMemoryRead(TypedDict):
    items: list[MemoryRead]
    next_cursor: str | None

class PageMessageRead(TypedDict):
    items: list[MessageRead]
    next_cursor: str | None

class PageOfFileRead(TypedDict):
    object: NotRequired[Literal['list']]
    data: list[appschemasopenaifilesFileRead]
    first_id: str | None
    last_id: str | None
    has_more: bool

class PageOfStoreFileRead(TypedDict):
    object: NotRequired[Literal['list']]
    data: list[StoreFileRead]
    first_id: str | None
    last_id: str | None
    has_more: bool

class PageOfStoreRead(TypedDict):
    object: NotRequired[Literal['list']]
    data: list[StoreRead]
    first_id: str | None
    last_id: str | None
    has_more: bool

class PagePersonRead(TypedDict):
    items: list[PersonRead]
    next_cursor: str | None

class PageProjectRead(TypedDict):
    items: list[ProjectRead]
    next_cursor: str | None

class PageRegistrationInviteRead(TypedDict):
    items: list[RegistrationInviteRead]
    next_cursor: str | None

class PageScheduleRead(TypedDict):
    items: list[ScheduleRead]
    next_cursor: str | None

class PageSessionRead(TypedDict):
    items: list[SessionRead]
    next_cursor: str | None

class PageTaskRead(TypedDict):
    items: list[TaskRead]
    next_cursor: str | None

class PageWebhookRead(TypedDict):
    items: list[WebhookRead]
    next_cursor: str | None

class ParticipantMuted(TypedDict):
    type: Literal['participant_muted']
    id: str
    timestamp: str
    session_id: str
    seq: int
    user_id: str
    by: str

class ParticipantRemoved(TypedDict):
    type: Literal['participant_removed']
    id: str
    timestamp: str
    session_id: str
    seq: int
    user_id: str
    by: str

class ParticipantUnmuted(TypedDict):
    type: Literal['participant_unmuted']
    id: str
    timestamp: str
    session_id: str
    seq: int
    user_id: str
    by: str

class ParticipantUpdate(TypedDict):
    """Muted people follow the room and say nothing."""

    is_muted: bool

class ParticipantsRead(TypedDict):
    """Who is in the room at this moment, by name."""

    items: list[Person]

class PasswordChange(TypedDict):
    current_password: str
    new_password: str

class PasswordForgotten(TypedDict):
    email: str

class PasswordReset(TypedDict):
    """`token` stands in the link of the mail, behind `#token=`."""

    token: str
    password: str

class Person(TypedDict):
    """Somebody in a room, as others see them."""

    id: str
    name: str

class PersonById(TypedDict):
    """Somebody in your memories."""

    person_id: str

class PersonByName(TypedDict):
    """Who is called so already, else somebody new."""

    name: str

class PersonCreate(TypedDict):
    name: str
    aliases: NotRequired[list[str]]

class PersonInMemory(TypedDict):
    id: str
    name: str

class PersonMerge(TypedDict):
    """`person_id` goes, and becomes an alias; whatever it was linked with stays."""

    person_id: str

class PersonRead(TypedDict):
    """Somebody in your memories, and in how many."""

    id: str
    name: str
    aliases: list[str]
    memory_count: int
    created_at: str
    updated_at: str

class PersonUpdate(TypedDict):
    """What is left out or null stays as it is; `aliases` are replaced as a whole."""

    name: NotRequired[str | None]
    aliases: NotRequired[list[str] | None]

class Ping(TypedDict):
    type: Literal['ping']

class Place(TypedDict):
    """Degrees."""

    latitude: float
    longitude: float

class PlaceById(TypedDict):
    """A place in your memories."""

    location_id: str

class PlaceByName(TypedDict):
    """The place that is called so already, else a new one, with coordinates if they are known."""

    name: str
    coordinates: NotRequired[Coordinates | None]

class PlaceOfMemory(TypedDict):
    id: str
    name: str
    coordinates: Coordinates | None

class PlaceRead(TypedDict):
    """Where a passage stands in each ranker that named it, from 1."""

    id: str
    document_id: str | None
    memory_id: str | None
    title: str
    page: int | None
    score: float
    scores: ScoresRead
    places: dict[str, int]

class Pong(TypedDict):
    type: Literal['pong']
    id: str
    timestamp: str
    session_id: str | None
    project_id: str | None

Precision: TypeAlias = Literal['exact', 'day', 'month', 'year']

class PresetChanges(TypedDict):
    """Single values that differ from those of a preset; what is left out stays as it is."""

    steps: NotRequired[int | None]
    resolution: NotRequired[int | None]
    retrieval_depth: NotRequired[int | None]
    max_tokens: NotRequired[int | None]
    temperature: NotRequired[float | None]
    model: NotRequired[str | None]
    passage_tokens: NotRequired[int | None]
    passage_overlap: NotRequired[int | None]

class ProjectCreate(TypedDict):
    name: str
    description: NotRequired[str]

class ProjectRead(TypedDict):
    """`role` is the caller's own. Since `archived_at` what is in the project can be read, and not changed."""

    id: str
    name: str
    description: str
    is_default: bool
    owner_id: str
    role: ProjectRole
    archived_at: str | None
    created_at: str
    updated_at: str

ProjectRole: TypeAlias = Literal['viewer', 'editor', 'owner']

class ProjectStatistics(TypedDict):
    """How much there is in a project; documents and tasks by their status. `memories`: that are shared with it."""

    documents: dict[str, int]
    documents_bytes: int
    passages: int
    sessions: int
    messages: int
    tasks: dict[str, int]
    files: int
    files_bytes: int
    memories: int
    members: int
    webhooks: int

class ProjectUpdate(TypedDict):
    """What is left out stays as it is."""

    name: NotRequired[str | None]
    description: NotRequired[str | None]

class ProjectUpdated(TypedDict):
    """Durable. The project as it is now; since `archived_at` it is read-only."""

    type: Literal['project_updated']
    id: str
    timestamp: str
    project_id: str
    seq: int
    name: str
    description: str
    archived_at: str | None

class QueryRequest(TypedDict):
    project_ids: NotRequired[list[str] | None]
    sources: NotRequired[list[Literal['documents', 'memories', 'messages']]]
    filters: NotRequired[SearchFilters]
    top_k: NotRequired[int]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra']]
    explain: NotRequired[bool]
    question: str
    session_id: NotRequired[str | None]
    stream: NotRequired[bool]

class QueryResult(TypedDict):
    """`answer` holds markers `[n]`, one citation for each. Not `grounded`: nothing in the documents bears it out."""

    id: str
    status: Literal['complete', 'stopped']
    answer: str
    citations: list[Citation]
    sentences: list[SentenceRead]
    grounded: bool
    model: str
    usage: UsageRead
    timings_ms: dict[str, float]
    explanation: NotRequired[Explanation | None]

class QueueRead(TypedDict):
    waiting: int
    running: int
    oldest_age_seconds: float | None

class RankingOptions(TypedDict):
    """`ranker: none` leaves out what takes time."""

    ranker: NotRequired[str | None]
    score_threshold: NotRequired[float | None]

class ReactionAdded(TypedDict):
    """Durable."""

    type: Literal['reaction_added']
    id: str
    timestamp: str
    session_id: str
    seq: int
    message_id: str
    user_id: str
    emoji: str

class ReactionRead(TypedDict):
    """Who reacted so, the first one first."""

    emoji: str
    user_ids: list[str]

class ReactionRemoved(TypedDict):
    """Durable."""

    type: Literal['reaction_removed']
    id: str
    timestamp: str
    session_id: str
    seq: int
    message_id: str
    user_id: str
    emoji: str

class ReadMarkerPut(TypedDict):
    """The number of the last message that was read, or one behind it."""

    seq: int

class ReadMarkerRead(TypedDict):
    user_id: str
    last_read_seq: int

class ReadMarkersRead(TypedDict):
    items: list[ReadMarkerRead]

class ReadingRead(TypedDict):
    """What of the question was taken for a `time`, a `person` or an `event` that it dates by, and what was done: the search was `narrowed` to it, what fits was `preferred`, or it was `dropped`, since nothing was found that way."""

    kind: Literal['time', 'person', 'event']
    text: str
    use: Literal['narrowed', 'preferred', 'dropped']
    occurred_from: str | None
    occurred_before: str | None
    names: list[str]

class RefreshTokenUse(TypedDict):
    refresh_token: str

class RegistrationInviteCreate(TypedDict):
    email: NotRequired[str | None]
    role: NotRequired[Literal['user', 'admin']]
    expires_in: NotRequired[int]

class RegistrationInviteCreated(TypedDict):
    """The only time that the invite itself is shown."""

    id: str
    email: str | None
    role: Role
    created_by: str | None
    expires_at: str
    used_at: str | None
    used_by: str | None
    created_at: str
    invite: str

class RegistrationInviteRead(TypedDict):
    """Good for one account, while whoever made it is an active admin."""

    id: str
    email: str | None
    role: Role
    created_by: str | None
    expires_at: str
    used_at: str | None
    used_by: str | None
    created_at: str

class RemoveReaction(TypedDict):
    type: Literal['remove_reaction']
    message_id: str
    emoji: str

class ResponseError(TypedDict):
    code: str
    message: str

class ResponseRead(TypedDict):
    """`output`: what was looked up, then the answer with a `file_citation` for each marker, then calls of tools."""

    id: str
    object: NotRequired[Literal['response']]
    created_at: int
    status: Literal['in_progress', 'completed', 'incomplete', 'failed']
    error: NotRequired[ResponseError | None]
    incomplete_details: NotRequired[dict[str, str] | None]
    instructions: str | None
    model: str
    output: list[dict[str, Any]]
    parallel_tool_calls: bool
    temperature: float | None
    top_p: float | None
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    max_output_tokens: int | None
    previous_response_id: NotRequired[None]
    store: NotRequired[Literal[False]]
    usage: NotRequired[ResponseUsage | None]
    metadata: dict[str, str]

class ResponseRequest(TypedDict):
    """Responses are not kept here: the whole conversation comes as `input`, and there is no `previous_response_id`."""

    model: str
    input: str | list[dict[str, Any]]
    instructions: NotRequired[str | None]
    stream: NotRequired[bool | None]
    tools: NotRequired[list[FileSearchTool | FunctionTool] | None]
    tool_choice: NotRequired[Literal['none', 'auto', 'required'] | dict[str, Any] | None]
    parallel_tool_calls: NotRequired[bool | None]
    include: NotRequired[list[str] | None]
    text: NotRequired[TextOptions | None]
    temperature: NotRequired[float | None]
    top_p: NotRequired[float | None]
    max_output_tokens: NotRequired[int | None]
    previous_response_id: NotRequired[None]
    background: NotRequired[Literal[False] | None]

class ResponseUsage(TypedDict):
    input_tokens: int
    input_tokens_details: NotRequired[TokenDetails]
    output_tokens: int
    output_tokens_details: NotRequired[OutputTokenDetails]
    total_tokens: int

RestrictionKind: TypeAlias = Literal['muted', 'removed']

class RestrictionRead(TypedDict):
    """Somebody who is `muted`, or was `removed`; an invite made later lets the latter in again."""

    user_id: str
    kind: RestrictionKind
    created_at: str

class RestrictionsRead(TypedDict):
    items: list[RestrictionRead]

class Resume(TypedDict):
    type: Literal['resume']
    after_seq: int

class RetryTask(TypedDict):
    """Of a task that has failed or was cancelled."""

    type: Literal['retry_task']
    task_id: str

Role: TypeAlias = Literal['user', 'admin', 'guest']

class RoleLimitRead(TypedDict):
    role: Role
    budget: Budget
    rate: str

class RoleLimitUpdate(TypedDict):
    """What everybody of a role may do; `rate: null` brings the setting's rate back."""

    role: Role
    budget: Literal['requests', 'uploads', 'queries', 'messages', 'tokens']
    rate: str | None

class ScheduleCreate(TypedDict):
    task_type: str
    params: NotRequired[dict[str, Any]]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra'] | None]
    preset: NotRequired[PresetChanges]
    name: str
    cron: str
    timezone: NotRequired[str]

class ScheduleRead(TypedDict):
    """`next_run_at` is null while it is paused; `pause_reason` says why, when it was not somebody's wish."""

    id: str
    project_id: str
    owner_id: str
    name: str
    task_type: str
    params: dict[str, Any]
    quality: str
    preset: dict[str, Any]
    cron: str
    timezone: str
    is_paused: bool
    pause_reason: str
    next_run_at: str | None
    last_run_at: str | None
    created_at: str
    updated_at: str

class ScheduleUpdate(TypedDict):
    """What is left out stays as it is."""

    name: NotRequired[str | None]
    cron: NotRequired[str | None]
    timezone: NotRequired[str | None]
    params: NotRequired[dict[str, Any] | None]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra'] | None]
    preset: NotRequired[PresetChanges | None]
    is_paused: NotRequired[bool | None]

Scope: TypeAlias = Literal['read', 'write', 'admin']

class ScoresRead(TypedDict):
    """What each ranker says by itself; null where it has nothing to say about the passage."""

    dense: float | None
    text: float | None
    sparse: NotRequired[float | None]
    rerank: NotRequired[float | None]

class SearchFilters(TypedDict):
    """Narrow the search; all that is given must hold. Some of it only documents have, and some only memories."""

    document_ids: NotRequired[list[str] | None]
    media_type: NotRequired[str | None]
    metadata: NotRequired[dict[str, Any] | None]
    where: NotRequired[dict[str, Any] | None]
    created_from: NotRequired[str | None]
    created_before: NotRequired[str | None]
    occurred_from: NotRequired[str | None]
    occurred_before: NotRequired[str | None]
    person_ids: NotRequired[list[str] | None]
    location_id: NotRequired[str | None]
    tags: NotRequired[list[str] | None]
    memory_ids: NotRequired[list[str] | None]

class SearchPage(TypedDict):
    object: NotRequired[Literal['vector_store.search_results.page']]
    search_query: list[str]
    data: list[FoundRead]
    has_more: NotRequired[Literal[False]]
    next_page: NotRequired[None]

class SearchRequest(TypedDict):
    project_ids: NotRequired[list[str] | None]
    sources: NotRequired[list[Literal['documents', 'memories', 'messages']]]
    filters: NotRequired[SearchFilters]
    top_k: NotRequired[int]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra']]
    explain: NotRequired[bool]
    query: str

class SearchResult(TypedDict):
    """The best passages, best first. `timings_ms`: milliseconds by stage, `total` included."""

    items: list[HitRead]
    timings_ms: dict[str, float]
    explanation: NotRequired[Explanation | None]

class SendMessage(TypedDict):
    """The same `client_id` again makes no second message; a connection that was not told of the first is told now."""

    type: Literal['send_message']
    text: str
    client_id: NotRequired[str | None]
    reply_to: NotRequired[str | None]

class SentenceRead(TypedDict):
    """A sentence of the answer, at `char_start`:`char_end` (code points) of `answer`, and what bears it out."""

    char_start: int
    char_end: int
    citations: list[int]
    supported: bool

class SessionCreate(TypedDict):
    """`project_id`: whose documents the spirit answers from; your default project otherwise."""

    name: str
    max_users: NotRequired[int]
    spirit_mode: NotRequired[SpiritMode]
    shares_documents: NotRequired[bool]
    project_id: NotRequired[str | None]

class SessionJoin(TypedDict):
    """`name`: what a guest is called in the room; a signed-in caller keeps their own."""

    invite: str
    name: NotRequired[str | None]

class SessionRead(TypedDict):
    id: str
    name: str
    max_users: int
    spirit_mode: SpiritMode
    project_id: str
    owner_id: str
    is_active: bool
    shares_documents: bool
    created_at: str
    updated_at: str

class SessionUpdate(TypedDict):
    """What is left out stays as it is."""

    name: NotRequired[str | None]
    max_users: NotRequired[int | None]
    spirit_mode: NotRequired[SpiritMode | None]
    is_active: NotRequired[bool | None]
    shares_documents: NotRequired[bool | None]

class SessionUpdated(TypedDict):
    """Durable. The room as it is now; when it is not `is_active`, sockets are closed with 4403."""

    type: Literal['session_updated']
    id: str
    timestamp: str
    session_id: str
    seq: int
    name: str
    max_users: int
    spirit_mode: str
    is_active: bool
    shares_documents: bool

class SourceRead(TypedDict):
    """Where a memory comes from, and the ids of what it was made from."""

    kind: str
    ids: dict[str, Any]

class SpiritBusy(TypedDict):
    """Durable. So many messages wait for the spirit that it will not answer this one."""

    type: Literal['spirit_busy']
    id: str
    timestamp: str
    session_id: str
    seq: int
    in_reply_to: str
    waiting: int

SpiritMode: TypeAlias = Literal['always', 'mention', 'off']

class SpiritThinking(TypedDict):
    type: Literal['spirit_thinking']
    id: str
    timestamp: str
    session_id: str
    in_reply_to: str

class SpiritToken(TypedDict):
    """The next piece of the answer; for a joiner in the middle the first `delta` is all that was said so far. `offset`: how many code points of the answer come before `delta`; null when that is not known."""

    type: Literal['spirit_token']
    id: str
    timestamp: str
    session_id: str
    in_reply_to: str
    delta: str
    offset: int | None

class StartGeneration(TypedDict):
    type: Literal['start_generation']
    task_type: str
    params: NotRequired[dict[str, Any]]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra'] | None]
    preset: NotRequired[PresetChanges]
    run_at: NotRequired[str | None]
    after: NotRequired[list[str]]

class StateChanged(TypedDict):
    """The state is now of this `version` and was of the one before; 0 is none. `changes` is the merge patch (RFC 7396) that leads from one to the other; null where the state was replaced, or the patch is long: then, or after a version that was not told of, the state is read over HTTP."""

    type: Literal['state_changed']
    id: str
    timestamp: str
    project_id: str
    version: int
    previous_version: int
    changes: dict[str, Any] | None
    by: str

class StatisticsRead(TypedDict):
    """Numbers alone. Where it says so, tables of more than 10,000 rows are estimated."""

    users: list[UserCountRead]
    documents: list[DocumentCountRead]
    tasks: list[TaskCountRead]
    projects: int
    rooms: int
    passages: int
    messages: int
    queue: QueueRead
    logins_last_day: int

class Stop(TypedDict):
    type: Literal['stop']

class StoreCreate(TypedDict):
    """Nothing here expires, and passages are cut as everywhere, so that `chunking_strategy` is ignored."""

    name: NotRequired[str | None]
    file_ids: NotRequired[list[str] | None]
    expires_after: NotRequired[None]
    metadata: NotRequired[dict[str, str] | None]

class StoreError(TypedDict):
    code: Literal['server_error', 'unsupported_file', 'invalid_file']
    message: str

class StoreFileCreate(TypedDict):
    """`attributes` become the document's metadata."""

    file_id: str
    attributes: NotRequired[dict[str, Any] | None]

class StoreFileRead(TypedDict):
    """A document in its project; `attributes` are those of its metadata that are plain values."""

    id: str
    object: NotRequired[Literal['vector_store.file']]
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: Literal['in_progress', 'completed', 'failed']
    last_error: StoreError | None
    attributes: dict[str, str | float | bool]

class StoreRead(TypedDict):
    """A project. `status` is `completed` when nothing in it is being read."""

    id: str
    object: NotRequired[Literal['vector_store']]
    created_at: int
    name: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal['in_progress', 'completed']
    last_active_at: int
    metadata: dict[str, str]

class StoreSearch(TypedDict):
    """Several queries make one ranked list. `rewrite_query` is ignored: questions are searched for as they are."""

    query: str | list[str]
    max_num_results: NotRequired[int | None]
    filters: NotRequired[dict[str, Any] | None]
    ranking_options: NotRequired[RankingOptions | None]
    rewrite_query: NotRequired[bool | None]

class StoreUpdate(TypedDict):
    name: NotRequired[str | None]
    expires_after: NotRequired[None]
    metadata: NotRequired[dict[str, str] | None]

class StreamOptions(TypedDict):
    include_usage: NotRequired[bool | None]

class TaskCompleted(TypedDict):
    """Durable. `duration` in seconds."""

    type: Literal['complete']
    id: str
    timestamp: str
    project_id: str
    task_id: str
    task_type: str
    seq: int
    result: dict[str, Any]
    duration: float

class TaskCountRead(TypedDict):
    task_type: str
    status: TaskStatus
    count: int

class TaskCreate(TypedDict):
    task_type: str
    params: NotRequired[dict[str, Any]]
    quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra'] | None]
    preset: NotRequired[PresetChanges]
    run_at: NotRequired[str | None]
    after: NotRequired[list[str]]

class TaskFailed(TypedDict):
    """Durable."""

    type: Literal['error']
    id: str
    timestamp: str
    project_id: str
    task_id: str
    task_type: str
    seq: int
    error_code: str
    message: str
    details: dict[str, Any]

class TaskFailure(TypedDict):
    """A try that went wrong before the last one."""

    attempt: int
    at: str
    code: str
    message: str

class TaskProgress(TypedDict):
    type: Literal['progress']
    id: str
    timestamp: str
    project_id: str
    task_id: str
    task_type: str
    progress: float
    message: str
    preview_url: str | None

class TaskRead(TypedDict):
    """`preset`: what the quality means here; `progress` runs from 0 to 1; `error` has `code`, `message`, `details`. `failures`: earlier tries, the newest last; `waits_for`: so many tasks that it comes after have not succeeded yet; `run_after`: it is not begun, or not tried again, before this time."""

    id: str
    project_id: str
    task_type: str
    quality: str
    params: dict[str, Any]
    preset: dict[str, Any]
    status: TaskStatus
    progress: float
    message: str
    preview_url: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    attempts: int
    failures: list[TaskFailure]
    waits_for: int
    run_after: str
    schedule_id: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None

class TaskStarted(TypedDict):
    """Durable."""

    type: Literal['task_started']
    id: str
    timestamp: str
    project_id: str
    task_id: str
    task_type: str
    seq: int
    params: dict[str, Any]
    attempt: int

class TaskState(TypedDict):
    """A task that is under way, for those who join late."""

    task_id: str
    task_type: str
    status: str
    progress: float
    message: str
    preview_url: str | None

TaskStatus: TypeAlias = Literal['queued', 'running', 'succeeded', 'failed', 'cancelled']

class TaskTypeRead(TypedDict):
    """A kind of work. `params` is the JSON Schema of its parameters; `presets`: what each quality means for it."""

    name: str
    description: str
    may_be_started: bool
    params: dict[str, Any]
    presets: dict[str, dict[str, int | float | str]]

class TextOptions(TypedDict):
    format: NotRequired[dict[str, Any] | None]

class ThumbnailRead(TypedDict):
    """A small copy of a picture: `small` has at most 320 pixels on its longer side, `large` 1280."""

    name: Literal['small', 'large']
    media_type: str
    width: int
    height: int

class TicketRead(TypedDict):
    """Goes into `?ticket=` of a WebSocket's address, once, within `expires_in` seconds."""

    ticket: str
    expires_in: int

class Timeline(TypedDict):
    """The newest bucket first, without empty ones."""

    bucket: Literal['day', 'month', 'year']
    items: list[BucketRead]
    next_cursor: str | None

class TokenDetails(TypedDict):
    cached_tokens: NotRequired[int]
    cache_write_tokens: NotRequired[int]

class TokensRead(TypedDict):
    """`expires_in`: seconds the access token is good for. The refresh token is good for one use."""

    access_token: str
    refresh_token: str
    token_type: Literal['bearer']
    expires_in: int

class Typing(TypedDict):
    type: Literal['typing']

class UndoRequest(TypedDict):
    """`revision`: the state to go back to; without one, that before the last change."""

    revision: NotRequired[int | None]

class UsageRead(TypedDict):
    """Tokens of the language model; 0 where none was asked, or it does not count."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

class UserCountRead(TypedDict):
    role: Role
    is_active: bool
    count: int

class UserCreate(TypedDict):
    email: str
    password: str
    name: str
    invite: NotRequired[str | None]

class UserJoined(TypedDict):
    type: Literal['user_joined']
    id: str
    timestamp: str
    session_id: str
    user: Person
    participants: int

class UserLeft(TypedDict):
    type: Literal['user_left']
    id: str
    timestamp: str
    session_id: str
    user: Person
    participants: int

class UserRead(TypedDict):
    """An account, as its owner sees it."""

    id: str
    email: str | None
    email_verified: bool
    name: str
    about: str
    role: Role
    settings: UserSettingsRead
    preferences: dict[str, Any]
    created_at: str
    updated_at: str

class UserSettingsRead(TypedDict):
    """What Hearth itself goes by; null: not set."""

    language: NotRequired[str | None]
    timezone: NotRequired[str | None]
    default_quality: NotRequired[str | None]
    remember: NotRequired[str | None]

class UserSettingsUpdate(TypedDict):
    """`language` (BCP 47), `timezone` (IANA), the quality of tasks that are started without one, and what becomes of candidates for memories: you are asked, or they are accepted."""

    language: NotRequired[str | None]
    timezone: NotRequired[str | None]
    default_quality: NotRequired[Literal['draft', 'standard', 'high', 'ultra'] | None]
    remember: NotRequired[Literal['ask', 'accept'] | None]

class UserTyping(TypedDict):
    type: Literal['typing']
    id: str
    timestamp: str
    session_id: str
    user: Person

class UserUpdate(TypedDict):
    """What is left out stays as it is, single settings too; a setting that is null is not set any more. `preferences` replace those that were there."""

    name: NotRequired[str | None]
    about: NotRequired[str | None]
    settings: NotRequired[UserSettingsUpdate | None]
    preferences: NotRequired[dict[str, Any] | None]

class VersionPage(TypedDict):
    items: list[VersionRead]
    next_cursor: str | None

class VersionRead(TypedDict):
    """What a memory was after change number `revision`; `change` says what was done, by `changed_by`."""

    revision: int
    change: Literal['created', 'updated', 'undone', 'deleted', 'restored', 'merged']
    changed_by: str | None
    state: dict[str, Any]
    created_at: str

class WebhookCreate(TypedDict):
    url: str
    events: NotRequired[list[Literal['task_started', 'progress', 'complete', 'error', 'file_changed', 'project_updated', 'webhook_disabled']]]
    description: NotRequired[str]

class WebhookCreated(TypedDict):
    """`secret` is shown this once."""

    id: str
    project_id: str
    url: str
    description: str
    events: list[str]
    is_active: bool
    disabled_reason: str | None
    failures: int
    failing_since: str | None
    created_at: str
    updated_at: str
    secret: str

class WebhookDisabled(TypedDict):
    """Durable. Nothing arrived there for long, so nothing is sent there any more."""

    type: Literal['webhook_disabled']
    id: str
    timestamp: str
    project_id: str
    seq: int
    webhook_id: str
    url: str
    reason: str

class WebhookRead(TypedDict):
    """`disabled_reason`: why this server switched it off. `failures`: in a row, since `failing_since`."""

    id: str
    project_id: str
    url: str
    description: str
    events: list[str]
    is_active: bool
    disabled_reason: str | None
    failures: int
    failing_since: str | None
    created_at: str
    updated_at: str

class WebhookSecret(TypedDict):
    """`secret` is shown this once; until `previous_until` messages are signed with the one before, too."""

    secret: str
    previous_until: str

class WebhookUpdate(TypedDict):
    """What is left out stays as it is. `is_active` true begins anew where nothing arrived for long."""

    url: NotRequired[str | None]
    events: NotRequired[list[Literal['task_started', 'progress', 'complete', 'error', 'file_changed', 'project_updated', 'webhook_disabled']] | None]
    description: NotRequired[str | None]
    is_active: NotRequired[bool | None]

class Welcome(TypedDict):
    """First frame of a connection. `recovered` is false when `after_seq` lies before what the log still holds."""

    type: Literal['welcome']
    id: str
    timestamp: str
    session_id: str | None
    project_id: str | None
    you: Person
    participants: list[Person]
    last_seq: int
    recovered: bool
    active_tasks: list[TaskState]

class appschemasfilesFileRead(TypedDict):
    """A file of a project. Its `sha256` is its `ETag`, too."""

    id: str
    project_id: str
    path: str
    size: int
    media_type: str
    sha256: str
    created_by: str | None
    created_at: str
    updated_at: str
    url: str
    preview_url: str | None

class appschemasopenaicommonDeletedReadLiteralvectorstoredeleted(TypedDict):
    id: str
    object: Literal['vector_store.deleted']
    deleted: NotRequired[Literal[True]]

class appschemasopenaicommonDeletedReadLiteralvectorstorefiledeleted(TypedDict):
    id: str
    object: Literal['vector_store.file.deleted']
    deleted: NotRequired[Literal[True]]

class appschemasopenaifilesFileRead(TypedDict):
    """A document. `status` is `processed` once it can be searched."""

    id: str
    object: NotRequired[Literal['file']]
    bytes: int
    created_at: int
    filename: str
    purpose: NotRequired[Literal['assistants']]
    status: Literal['uploaded', 'processed', 'error']
    status_details: str | None

RoomEvent: TypeAlias = Welcome | ErrorOccurred | Pong | MessageReceived | MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved | MessagesRead | ParticipantMuted | ParticipantUnmuted | ParticipantRemoved | SessionUpdated | SpiritBusy | UserJoined | UserLeft | UserTyping | SpiritThinking | SpiritToken

ProjectEvent: TypeAlias = Welcome | ErrorOccurred | Pong | TaskStarted | TaskCompleted | TaskFailed | ProjectUpdated | FileChanged | WebhookDisabled | TaskProgress | StateChanged

RoomCommand: TypeAlias = SendMessage | EditMessage | DeleteMessage | AddReaction | RemoveReaction | MarkRead | Typing | Ping | Resume | Stop | Authenticate

ProjectCommand: TypeAlias = StartGeneration | CancelTask | RetryTask | Ping | Resume | Authenticate
