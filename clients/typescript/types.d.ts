// What goes over the wire. Written by `make docs` from the server's classes; do not edit.
// Ids are UUIDs, times are ISO 8601.

export type APIKeyCreate = {
  name: string;
  scopes?: Array<Scope>;
  expires_at?: string | null;
  /** Rates of its own, by budget: at most what its owner has. */
  limits?: Record<string, string>;
};

/** The only time that the key itself is shown. */
export type APIKeyCreated = {
  id: string;
  name: string;
  prefix: string;
  scopes: Array<Scope>;
  limits: Record<string, string>;
  expires_at: string | null;
  last_used_at: string | null;
  created_at: string;
  key: string;
};

/** `prefix` is how the key begins, for telling keys apart. */
export type APIKeyRead = {
  id: string;
  name: string;
  prefix: string;
  scopes: Array<Scope>;
  limits: Record<string, string>;
  expires_at: string | null;
  last_used_at: string | null;
  created_at: string;
};

/** What is left out stays as it is; `limits` replace those that were there. */
export type APIKeyUpdate = {
  name?: string | null;
  /** Rates of its own, by budget: at most what its owner has. */
  limits?: Record<string, string> | null;
};

/** `password` is needed where the account has one; without one, the log-in must be younger than five minutes. `erase_messages` also empties what was said in the rooms of others, where it stands without a name otherwise. `delete_shared_projects` deletes projects that others work in, and that have no other owner. */
export type AccountDeletion = {
  password?: string | null;
  erase_messages?: boolean;
  delete_shared_projects?: boolean;
};

export type AddReaction = {
  type: "add_reaction";
  message_id: string;
  emoji: string;
};

/** A task without what it works on and without what came of it; internal ones are not listed to users. */
export type AdminTaskRead = {
  id: string;
  project_id: string;
  owner_id: string;
  task_type: string;
  quality: string;
  status: TaskStatus;
  progress: number;
  error_code: string | null;
  attempts: number;
  priority: number;
  is_internal: boolean;
  cancel_requested: boolean;
  run_after: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
};

/** An account, as admins see it. */
export type AdminUserRead = {
  id: string;
  email: string | null;
  name: string;
  role: Role;
  is_active: boolean;
  email_verified_at: string | null;
  created_at: string;
  updated_at: string;
};

/** What is left out stays as it is; nothing else can be changed for somebody. */
export type AdminUserUpdate = {
  name?: string | null;
  role?: "user" | "admin" | null;
  /** False ends every log-in, and the account's keys stop working. */
  is_active?: boolean | null;
};

/** `citations`: what bears the markers `[n]` of the answer out. */
export type AnswerMessage = {
  role?: "assistant";
  content: string | null;
  refusal?: string | null;
  tool_calls?: Array<Record<string, unknown>> | null;
  citations?: Array<Citation> | null;
};

/** An answer that was kept: as `QueryResult`, also while it is `running`, or when it has `failed`. */
export type AnswerRead = {
  id: string;
  question: string;
  status: "running" | "complete" | "stopped" | "failed";
  answer: string;
  citations: Array<Citation>;
  sentences: Array<SentenceRead>;
  grounded: boolean;
  model: string;
  usage: UsageRead;
  timings_ms: Record<string, number>;
  error: ErrorEvent | null;
  created_at: string;
};

/** Who (`actor_id`, and by which key), what, on what, from where; ids, so that it outlives names. */
export type AuditEntryRead = {
  id: string;
  created_at: string;
  actor_id: string | null;
  key_id: string | null;
  action: string;
  target_type: string | null;
  target_id: string | null;
  address: string;
  request_id: string;
  details: Record<string, unknown>;
};

export type Authenticate = {
  type: "authenticate";
  token: string;
};

export type BatchCreate = {
  file_ids: Array<string>;
  attributes?: Record<string, unknown> | null;
};

/** Files that were put into a store together; told is the state of the whole store. */
export type BatchRead = {
  id: string;
  object?: "vector_store.files_batch";
  created_at: number;
  vector_store_id: string;
  status: "in_progress" | "completed";
  file_counts: FileCounts;
};

/** A day, a month or a year, by its first day: how many memories, the people and places that most have, titles. */
export type BucketRead = {
  start: string;
  count: number;
  people: Array<Counted>;
  places: Array<Counted>;
  titles: Array<string>;
};

/** What is counted apart from everything else. */
export type Budget = "requests" | "uploads" | "queries" | "messages" | "frames" | "tokens" | "login" | "failures" | "mails";

export type CancelTask = {
  type: "cancel_task";
  task_id: string;
};

/** `merge`: into the memory that says the same, if there is one; else it becomes a memory of its own. */
export type CandidateAccept = {
  merge?: boolean;
};

/** What somebody asked to remember, or the language model proposed; nothing finds it until it is accepted. `duplicate_of`: a memory that says the same of the same time. `memory_id`: what it became, or was merged into. */
export type CandidateRead = {
  id: string;
  status: CandidateStatus;
  title: string;
  content: string;
  occurred_at: string;
  occurred_end: string | null;
  occurred_local: string;
  precision: Precision;
  people: Array<string>;
  source: SourceRead;
  duplicate_of: string | null;
  memory_id: string | null;
  created_at: string;
  updated_at: string;
};

export type CandidateStatus = "proposed" | "accepted" | "dropped";

/** What is left out or null stays as it is. */
export type CandidateUpdate = {
  title?: string | null;
  content?: string | null;
  occurred_at?: string | null;
  people?: Array<string> | null;
};

export type ChatChoice = {
  index?: number;
  message: AnswerMessage;
  logprobs?: Record<string, unknown> | null;
  finish_reason: string;
};

export type ChatCompletion = {
  id: string;
  object?: "chat.completion";
  created: number;
  model: string;
  choices: Array<ChatChoice>;
  usage: ChatUsage;
};

/** `content` is a text, or parts of it; of a part that is none, a picture for example, only models know. */
export type ChatMessage = {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content?: string | Array<Record<string, unknown>> | null;
  name?: string | null;
  tool_calls?: Array<Record<string, unknown>> | null;
  tool_call_id?: string | null;
};

/** With `hearth` the answer is made from the caller's documents, and sampling is the operator's; with tools, or with `hearth-raw`, the language model is passed all of this. */
export type ChatRequest = {
  tools?: Array<Record<string, unknown>> | null;
  tool_choice?: "none" | "auto" | "required" | Record<string, unknown> | null;
  parallel_tool_calls?: boolean | null;
  response_format?: Record<string, unknown> | null;
  temperature?: number | null;
  top_p?: number | null;
  stop?: string | Array<string> | null;
  seed?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  logprobs?: boolean | null;
  top_logprobs?: number | null;
  reasoning_effort?: string | null;
  model: string;
  messages: Array<ChatMessage>;
  stream?: boolean | null;
  stream_options?: StreamOptions | null;
  max_tokens?: number | null;
  max_completion_tokens?: number | null;
  /** One answer to one request. */
  n?: number | null;
};

export type ChatUsage = {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
};

/** The best that a ranker says about the document; null where it finds nothing in it. */
export type CheckLegRead = {
  name: string;
  best_score: number | null;
};

export type CheckRead = {
  status: "healthy" | "degraded" | "unhealthy";
  latency_ms: number | null;
  message: string | null;
};

export type ChunkPage = {
  items: Array<ChunkRead>;
  next_cursor: string | null;
};

/** A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text. */
export type ChunkRead = {
  id: string;
  ordinal: number;
  text: string;
  page: number | null;
  heading: string | null;
  char_start: number;
  char_end: number;
  token_count: number;
};

/** A passage that supports an answer: `quote` stands verbatim at `char_start`:`char_end` of the document's text, or of the memory's content (of its title, where it has no content). Of the two ids one is null. */
export type Citation = {
  marker: number;
  document_id: string | null;
  memory_id: string | null;
  title: string;
  page: number | null;
  char_start: number;
  char_end: number;
  quote: string;
  /** The text that the offsets count in: a document that was read anew has another one. */
  document_version: string | null;
};

/** The text that was read in a file. */
export type ContentPage = {
  object?: "list";
  data: Array<FoundText>;
  has_more?: false;
  next_page?: null;
};

/** `csrf_token` goes into `X-CSRF-Token`; null for a caller without a cookie. */
export type CookieSessionRead = {
  user: UserRead;
  csrf_token: string | null;
};

/** Degrees. */
export type Coordinates = {
  latitude: number;
  longitude: number;
};

/** Somebody or somewhere, and in how many memories of a bucket. */
export type Counted = {
  id: string;
  name: string;
  count: number;
};

export type CutRead = {
  id: string;
  document_id: string | null;
  memory_id: string | null;
  title: string;
  page: number | null;
  score: number;
  scores: ScoresRead;
  places: Record<string, number>;
  reason: string;
};

/** One's own, or as a host anybody's. */
export type DeleteMessage = {
  type: "delete_message";
  message_id: string;
};

export type DeletedReadLiteralfile = {
  id: string;
  object: "file";
  deleted?: true;
};

/** `frame` is the event as it is told everywhere; the message has it as `data`. */
export type DeliveryDetails = {
  id: string;
  webhook_id: string;
  message_id: string;
  event_type: string;
  status: DeliveryStatus;
  attempts: number;
  tries: Array<DeliveryTry>;
  next_attempt_at: string | null;
  created_at: string;
  finished_at: string | null;
  frame: Record<string, unknown>;
};

/** An event on its way. `message_id` is the event's own id, and what `webhook-id` says, however often it is sent. */
export type DeliveryRead = {
  id: string;
  webhook_id: string;
  message_id: string;
  event_type: string;
  status: DeliveryStatus;
  attempts: number;
  tries: Array<DeliveryTry>;
  next_attempt_at: string | null;
  created_at: string;
  finished_at: string | null;
};

export type DeliveryStatus = "pending" | "succeeded" | "failed";

/** `status_code` is null where no answer came; `error` says why. `response`: how the answer begins. */
export type DeliveryTry = {
  at: string;
  status_code: number | null;
  latency_ms: number;
  error: string | null;
  response: string;
};

/** Somewhere you are signed in: by a cookie in a browser, or by tokens in a program. */
export type DeviceRead = {
  id: string;
  kind: LoginKind;
  /** What the browser or program called itself when you signed in. */
  user_agent: string;
  /** The network address you signed in from. */
  address: string;
  /** Whether it is this log-in. */
  is_current: boolean;
  created_at: string;
  /** To the minute. */
  last_used_at: string;
  expires_at: string;
};

/** Why a document does or does not come up for a question: `reasons` in words, the rest for programs. `rank` is the place of its best passage among all that the caller may see, null beyond `looked_at` places. `missing_words` are those of the question that stand nowhere in it. */
export type DocumentCheck = {
  document_id: string;
  status: string;
  found: boolean;
  rank: number | null;
  looked_at: number;
  relevance: number | null;
  floor: number;
  legs: Array<CheckLegRead>;
  missing_words: Array<string>;
  passages: Array<HitRead>;
  reasons: Array<string>;
};

export type DocumentCountRead = {
  status: DocumentStatus;
  count: number;
  /** As they were uploaded: what is in several projects counts in each. */
  bytes: number;
};

/** Why a document could not be read: `code` for programs, `message` for people. */
export type DocumentError = {
  code: string;
  message: string;
};

/** `size` in bytes; `sha256` of the original in hexadecimal; `error` says why a document has `failed`. `source_url` is where it was fetched from; null for a file or a text that was sent. */
export type DocumentRead = {
  id: string;
  project_id: string;
  title: string;
  filename: string | null;
  source_url: string | null;
  media_type: string;
  size: number;
  sha256: string;
  status: DocumentStatus;
  error: DocumentError | null;
  page_count: number | null;
  chunk_count: number | null;
  metadata: Record<string, unknown>;
  created_at: string;
  updated_at: string;
};

export type DocumentStatus = "pending" | "processing" | "ready" | "failed";

/** What is left out or null stays as it is; `metadata` is replaced as a whole. */
export type DocumentUpdate = {
  title?: string | null;
  metadata?: Record<string, unknown> | null;
};

/** One's own; the spirit does not answer it again. */
export type EditMessage = {
  type: "edit_message";
  message_id: string;
  text: string;
};

/** The address changes once the new one is confirmed. */
export type EmailChange = {
  email: string;
  current_password: string;
};

/** `token` stands in the link of the mail, behind `#token=`. */
export type EmailVerification = {
  token: string;
};

/** Numbers, or their 32-bit form in base64, little-endian. */
export type EmbeddingRead = {
  object?: "embedding";
  index: number;
  embedding: Array<number> | string;
};

/** Texts, not token numbers, whose meaning only the models of others know. */
export type EmbeddingRequest = {
  model: string;
  input: string | Array<string>;
  encoding_format?: "float" | "base64" | null;
  /** Fewer than the model's: each vector is cut, and made as long as 1 again. */
  dimensions?: number | null;
};

export type EmbeddingResult = {
  object?: "list";
  data: Array<EmbeddingRead>;
  model: string;
  usage: EmbeddingUsage;
};

export type EmbeddingUsage = {
  prompt_tokens: number;
  total_tokens: number;
};

export type ErrorBody = {
  code: string;
  message: string;
  details: Record<string, unknown>;
};

/** Last, instead of `done`: why the answer ends here. */
export type ErrorEvent = {
  code: string;
  message: string;
};

/** A frame was refused; the connection lives on. */
export type ErrorOccurred = {
  type: "error";
  id: string;
  timestamp: string;
  session_id: string | null;
  project_id: string | null;
  error_code: string;
  message: string;
  details: Record<string, unknown>;
};

/** The form of every error. */
export type ErrorResponse = {
  error: ErrorBody;
  request_id: string;
  timestamp: string;
};

/** How a search came to its result. `candidates` is how many passages each ranker may name. `words` are those that were looked for, with the number of passages that have them. */
export type Explanation = {
  /** That the search could look at; from 10,001 on the vector index is walked. */
  passages: number;
  method: "scan" | "index";
  /** Where the nearest passages were looked for. */
  vector_store: "pgvector" | "chroma";
  /** Why PostgreSQL compared the vectors, though there is a Chroma server. */
  fallback: string | null;
  candidates: number;
  words: Record<string, number>;
  legs: Array<LegRead>;
  filters: Record<string, unknown>;
  readings: Array<ReadingRead>;
  /** Passages of memories that the search could look at; not among `passages`. */
  memories: number;
  hits: Array<PlaceRead>;
  cut: Array<CutRead>;
};

export type ExportFormat = "jsonl" | "csv";

/** Durable. `change` is created, updated or deleted; `version` is what the file's `ETag` says. */
export type FileChanged = {
  type: "file_changed";
  id: string;
  timestamp: string;
  project_id: string;
  seq: number;
  path: string;
  change: string;
  size: number;
  media_type: string;
  version: string;
  by: string | null;
};

export type FileCounts = {
  in_progress: number;
  completed: number;
  failed: number;
  cancelled: number;
  total: number;
};

export type FilePage = {
  items: Array<appschemasfilesFileRead>;
  next_cursor: string | null;
};

/** Where to look: in these projects alone, and in documents with such metadata. */
export type FileSearchTool = {
  type: "file_search";
  vector_store_ids: Array<string>;
  max_num_results?: number | null;
  filters?: Record<string, unknown> | null;
};

/** A passage. `attributes`: of its document, and the `page` where it has one. */
export type FoundRead = {
  file_id: string;
  filename: string;
  score: number;
  attributes: Record<string, string | number | boolean>;
  content: Array<FoundText>;
};

export type FoundText = {
  type?: "text";
  text: string;
};

/** `retry`: calling it again later may go well. */
export type FunctionFailure = {
  message: string;
  retry?: boolean;
};

/** `preview`: the path of a file that the runner has delivered, to be shown meanwhile. */
export type FunctionProgress = {
  progress: number;
  message?: string;
  preview?: string | null;
};

export type FunctionResult = {
  result?: Record<string, unknown>;
};

/** What a runner verifies the signatures of a project's calls with. */
export type FunctionSecretRead = {
  secret: string;
};

/** For the language model. */
export type FunctionTool = {
  type: "function";
  name: string;
  description?: string | null;
  parameters?: Record<string, unknown> | null;
  strict?: boolean | null;
};

export type HealthRead = {
  status: "healthy" | "degraded" | "unhealthy";
  version: string;
  timestamp: string;
  checks: Record<string, CheckRead>;
};

/** A passage: `text` stands at `char_start`:`char_end` (code points) of the document's text, or of the memory's content (of its title, where it has no content). Of the two ids one is null. */
export type HitRead = {
  source: "documents" | "memories" | "messages";
  id: string;
  document_id: string | null;
  memory_id: string | null;
  title: string;
  text: string;
  page: number | null;
  heading: string | null;
  char_start: number;
  char_end: number;
  /** 0 to 1, relative to the other passages of this search. */
  score: number;
  scores: ScoresRead;
};

/** Send the browser there, within ten minutes; the cookie that came along has to be in it. */
export type IdentityDepartureRead = {
  url: string;
};

export type IdentityLink = {
  /** Where to go afterwards: a path, or a page of yours. */
  redirect_to?: string;
};

/** An account of an OpenID provider that opens yours. `email` is what the provider told when it was last used. */
export type IdentityRead = {
  id: string;
  issuer: string;
  subject: string;
  email: string | null;
  created_at: string;
  updated_at: string;
};

/** `is_skipped`: nothing was made of what stands at this line. */
export type ImportProblem = {
  line: number;
  message: string;
  is_skipped: boolean;
};

/** A file of memories on its way in, for your eyes alone. Of its `records`, as far as they were read, `created` are new memories, `updated` said something else than the last time, `unchanged` said the same, and `failed` could not be read; the first hundred `problems` are kept. */
export type ImportRead = {
  id: string;
  task_id: string | null;
  filename: string | null;
  format: "jsonl" | "csv" | "ical" | "archive" | "photos";
  source: string;
  timezone: string;
  size: number;
  status: TaskStatus;
  progress: number;
  records: number;
  created: number;
  updated: number;
  unchanged: number;
  failed: number;
  problems: Array<ImportProblem>;
  error: Record<string, unknown> | null;
  created_at: string;
  updated_at: string;
  finished_at: string | null;
};

/** The import, and the task that does the work: its events tell how far it is. */
export type ImportStarted = {
  import: ImportRead;
  task: TaskRead;
};

export type InfoRead = {
  name: string;
  version: string;
  api_version: string;
  environment: string;
  registration: string;
  /** Name of the OpenID provider, null without: GET /auth/oidc/login. */
  sign_in_with: string | null;
  embedding_model: string;
  llm_model: string | null;
  features: Array<string>;
  media_types: Array<string>;
  limits: Limits;
};

/** A document and the work on it; `task` is null when there is nothing left to do. */
export type IngestionRead = {
  document: DocumentRead;
  task: TaskRead | null;
};

/** `expires_in` in seconds. */
export type InviteCreate = {
  max_uses?: number;
  expires_in?: number;
};

/** An invite that can still be used. */
export type InviteListRead = {
  id: string;
  session_id: string;
  created_by: string;
  uses_left: number;
  expires_at: string;
  created_at: string;
};

/** `invite` is shown this once. */
export type InviteRead = {
  id: string;
  invite: string;
  session_id: string;
  max_uses: number;
  expires_at: string;
};

/** `access_token` opens this room alone; null for a caller who is signed in already. `expires_in` in seconds. */
export type JoinedRead = {
  session: SessionRead;
  user: Person;
  access_token: string | null;
  token_type: string;
  expires_in: number | null;
};

/** A ranker's part: the `named` passages are its best; `weight` is what it counts in the score. */
export type LegRead = {
  name: string;
  weight: number;
  named: number;
};

/** `document_bytes`, `media_bytes` and `body_bytes` in bytes, `message_characters` in code points. */
export type Limits = {
  document_bytes: number;
  media_bytes: number;
  media_per_memory: number;
  body_bytes: number;
  message_characters: number;
  frame_bytes: number;
};

/** `defaults` are the settings', by budget; `roles` have others. A key's own stand before both. */
export type LimitsRead = {
  defaults: Record<string, string>;
  roles: Array<RoleLimitRead>;
};

export type ListOfModelRead = {
  object?: "list";
  data: Array<ModelRead>;
};

export type LiveRead = {
  status: "alive";
};

export type LocationCreate = {
  name: string;
  coordinates?: Coordinates | null;
};

/** A place in your memories, and in how many; `distance` in metres, where a list is asked for what is near. */
export type LocationRead = {
  id: string;
  name: string;
  coordinates: Coordinates | null;
  memory_count: number;
  distance: number | null;
  created_at: string;
  updated_at: string;
};

/** What is left out or null stays as it is. */
export type LocationUpdate = {
  name?: string | null;
  coordinates?: Coordinates | null;
};

export type LoginKind = "token" | "cookie";

/** A refresh token of another log-in of yours ends that one, too. */
export type Logout = {
  refresh_token?: string | null;
};

/** What will happen by mail. */
export type MailPromise = {
  message: string;
};

/** Everything up to the number `seq` was read; a marker never moves back. */
export type MarkRead = {
  type: "mark_read";
  seq: number;
};

/** Why a picture could not be prepared: `code` for programs, `message` for people. */
export type MediaError = {
  code: string;
  message: string;
};

/** A picture, a sound, a film or another file of a memory; `media_type` is told from its bytes, `size` is in bytes. Width and height are those of the picture as it is to be seen, turned upright. `taken_at` is what the camera wrote, `2023-07-04T23:30:00`, with an offset where it knew one. That, `coordinates` and `sha256` are for who added the file alone, unless it `keeps_metadata`: then everybody gets it as it was uploaded. */
export type MediaRead = {
  id: string;
  memory_id: string;
  added_by: string | null;
  kind: "image" | "audio" | "video" | "file";
  media_type: string;
  filename: string | null;
  size: number;
  sha256: string | null;
  status: MediaStatus;
  error: MediaError | null;
  width: number | null;
  height: number | null;
  frames: number | null;
  /** 1 to 8, as EXIF counts: how the picture was stored. */
  orientation: number | null;
  taken_at: string | null;
  coordinates: Place | null;
  keeps_metadata: boolean;
  thumbnails: Array<ThumbnailRead>;
  created_at: string;
  updated_at: string;
  /** What is shown; of pictures, with nothing that they say of themselves. */
  content_url: string;
};

export type MediaStatus = "processing" | "ready" | "failed";

/** What is left out or null stays as it is. */
export type MediaUpdate = {
  keeps_metadata?: boolean | null;
};

export type MemberPut = {
  email: string;
  role?: ProjectRole;
};

export type MemberRead = {
  user_id: string;
  name: string;
  email: string | null;
  role: ProjectRole;
};

/** Something that happened, as far as it is known. Nobody else sees it without a `project_id`. */
export type MemoryCreate = {
  /** Without one, how the content begins. */
  title?: string | null;
  content?: string;
  /** Now, unless given. */
  occurred_at?: string | null;
  occurred_end?: string | null;
  /** As `occurred_at` is written, unless given. */
  precision?: Precision | null;
  tags?: Array<string>;
  people?: Array<PersonById | PersonByName>;
  location?: PlaceById | PlaceByName | null;
  links?: MemoryLinks;
  /** Shares it with the members of this project. */
  project_id?: string | null;
};

/** What a memory hangs together with; documents and messages that you may see, and memories. */
export type MemoryLinks = {
  document_ids?: Array<string>;
  message_ids?: Array<string>;
  memory_ids?: Array<string>;
};

/** A memory. `occurred_local` is what the clock showed where it happened, which calendars go by; of a day, a month or a year (`precision`) it is the beginning. `created_at` is when it was written down. Links lead to what you may see; `project_id` is null where nobody else sees the memory. */
export type MemoryRead = {
  id: string;
  owner_id: string;
  project_id: string | null;
  title: string;
  content: string;
  occurred_at: string;
  occurred_end: string | null;
  occurred_local: string;
  precision: Precision;
  tags: Array<string>;
  people: Array<PersonInMemory>;
  location: PlaceOfMemory | null;
  links: MemoryLinks;
  media: Array<MediaRead>;
  source: SourceRead;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
};

/** What is left out stays; `people`, `tags` and `links` are replaced as a whole. Null takes away `occurred_end`, `location`, and with `project_id` the sharing. */
export type MemoryUpdate = {
  title?: string | null;
  content?: string | null;
  occurred_at?: string | null;
  occurred_end?: string | null;
  precision?: Precision | null;
  tags?: Array<string> | null;
  people?: Array<PersonById | PersonByName> | null;
  location?: PlaceById | PlaceByName | null;
  links?: MemoryLinks | null;
  project_id?: string | null;
};

/** `client_id`: the same one sent again makes no second message. `reply_to`: a message of the same room. */
export type MessageCreate = {
  text: string;
  client_id?: string | null;
  reply_to?: string | null;
};

/** Durable. `user_id`: who deleted it, its author or a host. */
export type MessageDeleted = {
  type: "message_deleted";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  message_id: string;
  user_id: string;
};

/** Durable. `text` is null in a replay where a later event edits the message again, or deletes it. */
export type MessageEdited = {
  type: "message_edited";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  message_id: string;
  user_id: string;
  text: string | null;
  edited_at: string;
};

/** `seq` is the message's number in the room; `citations` are the spirit's. A deleted message has no text. */
export type MessageRead = {
  id: string;
  session_id: string;
  seq: number;
  user_id: string | null;
  user_name: string;
  text: string;
  is_spirit: boolean;
  /** An answer that was stopped, or whose end was lost. */
  is_partial: boolean;
  citations: Array<Citation>;
  client_id: string | null;
  /** The message that the spirit answers. */
  in_reply_to: string | null;
  /** The message that a person replies to; it may be deleted by now. */
  reply_to: string | null;
  reactions: Array<ReactionRead>;
  timestamp: string;
  edited_at: string | null;
  deleted_at: string | null;
};

/** Durable. `id`, `seq` and `timestamp` are the message's own; a replay shows it as it is by now. A deleted one has no text. A spirit's is `is_partial` when somebody stopped it, or its end was lost. */
export type MessageReceived = {
  type: "message_received";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  user_id: string | null;
  user_name: string;
  text: string;
  is_spirit: boolean;
  citations: Array<Citation>;
  client_id: string | null;
  in_reply_to: string | null;
  reply_to: string | null;
  is_partial: boolean;
  edited_at: string | null;
  deleted_at: string | null;
};

export type MessageUpdate = {
  text: string;
};

/** Durable. Somebody has read everything up to the message with the number `last_read_seq`. */
export type MessagesRead = {
  type: "read";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  user_id: string;
  last_read_seq: number;
};

export type ModelRead = {
  id: string;
  object?: "model";
  created: number;
  owned_by: string;
};

/** Memories of this day of other years, and of this one; the newest first. */
export type OnThisDay = {
  date: string;
  items: Array<MemoryRead>;
  next_cursor: string | null;
};

export type OpenAIError = {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
};

/** The form of every error below `/v1`. */
export type OpenAIErrorResponse = {
  error: OpenAIError;
};

export type OutputTokenDetails = {
  reasoning_tokens?: number;
};

export type PageAPIKeyRead = {
  items: Array<APIKeyRead>;
  next_cursor: string | null;
};

export type PageAdminTaskRead = {
  items: Array<AdminTaskRead>;
  next_cursor: string | null;
};

export type PageAdminUserRead = {
  items: Array<AdminUserRead>;
  next_cursor: string | null;
};

export type PageAuditEntryRead = {
  items: Array<AuditEntryRead>;
  next_cursor: string | null;
};

export type PageCandidateRead = {
  items: Array<CandidateRead>;
  next_cursor: string | null;
};

export type PageDeliveryRead = {
  items: Array<DeliveryRead>;
  next_cursor: string | null;
};

export type PageDeviceRead = {
  items: Array<DeviceRead>;
  next_cursor: string | null;
};

export type PageDocumentRead = {
  items: Array<DocumentRead>;
  next_cursor: string | null;
};

export type PageIdentityRead = {
  items: Array<IdentityRead>;
  next_cursor: string | null;
};

export type PageImportRead = {
  items: Array<ImportRead>;
  next_cursor: string | null;
};

export type PageInviteListRead = {
  items: Array<InviteListRead>;
  next_cursor: string | null;
};

export type PageLocationRead = {
  items: Array<LocationRead>;
  next_cursor: string | null;
};

export type PageMediaRead = {
  items: Array<MediaRead>;
  next_cursor: string | null;
};

export type PageMemberRead = {
  items: Array<MemberRead>;
  next_cursor: string | null;
};

export type PageMemoryRead = {
  items: Array<MemoryRead>;
  next_cursor: string | null;
};

export type PageMessageRead = {
  items: Array<MessageRead>;
  next_cursor: string | null;
};

export type PageOfFileRead = {
  object?: "list";
  data: Array<appschemasopenaifilesFileRead>;
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

export type PageOfStoreFileRead = {
  object?: "list";
  data: Array<StoreFileRead>;
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

export type PageOfStoreRead = {
  object?: "list";
  data: Array<StoreRead>;
  first_id: string | null;
  last_id: string | null;
  has_more: boolean;
};

export type PagePersonRead = {
  items: Array<PersonRead>;
  next_cursor: string | null;
};

export type PageProjectRead = {
  items: Array<ProjectRead>;
  next_cursor: string | null;
};

export type PageRegistrationInviteRead = {
  items: Array<RegistrationInviteRead>;
  next_cursor: string | null;
};

export type PageScheduleRead = {
  items: Array<ScheduleRead>;
  next_cursor: string | null;
};

export type PageSessionRead = {
  items: Array<SessionRead>;
  next_cursor: string | null;
};

export type PageTaskRead = {
  items: Array<TaskRead>;
  next_cursor: string | null;
};

export type PageWebhookRead = {
  items: Array<WebhookRead>;
  next_cursor: string | null;
};

export type ParticipantMuted = {
  type: "participant_muted";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  user_id: string;
  by: string;
};

export type ParticipantRemoved = {
  type: "participant_removed";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  user_id: string;
  by: string;
};

export type ParticipantUnmuted = {
  type: "participant_unmuted";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  user_id: string;
  by: string;
};

/** Muted people follow the room and say nothing. */
export type ParticipantUpdate = {
  is_muted: boolean;
};

/** Who is in the room at this moment, by name. */
export type ParticipantsRead = {
  items: Array<Person>;
};

export type PasswordChange = {
  current_password: string;
  new_password: string;
};

export type PasswordForgotten = {
  email: string;
};

/** `token` stands in the link of the mail, behind `#token=`. */
export type PasswordReset = {
  token: string;
  password: string;
};

/** Somebody in a room, as others see them. */
export type Person = {
  id: string;
  name: string;
};

/** Somebody in your memories. */
export type PersonById = {
  person_id: string;
};

/** Who is called so already, else somebody new. */
export type PersonByName = {
  name: string;
};

export type PersonCreate = {
  name: string;
  aliases?: Array<string>;
};

export type PersonInMemory = {
  id: string;
  name: string;
};

/** `person_id` goes, and becomes an alias; whatever it was linked with stays. */
export type PersonMerge = {
  person_id: string;
};

/** Somebody in your memories, and in how many. */
export type PersonRead = {
  id: string;
  name: string;
  aliases: Array<string>;
  memory_count: number;
  created_at: string;
  updated_at: string;
};

/** What is left out or null stays as it is; `aliases` are replaced as a whole. */
export type PersonUpdate = {
  name?: string | null;
  aliases?: Array<string> | null;
};

export type Ping = {
  type: "ping";
};

/** Degrees. */
export type Place = {
  latitude: number;
  longitude: number;
};

/** A place in your memories. */
export type PlaceById = {
  location_id: string;
};

/** The place that is called so already, else a new one, with coordinates if they are known. */
export type PlaceByName = {
  name: string;
  coordinates?: Coordinates | null;
};

export type PlaceOfMemory = {
  id: string;
  name: string;
  coordinates: Coordinates | null;
};

/** Where a passage stands in each ranker that named it, from 1. */
export type PlaceRead = {
  id: string;
  document_id: string | null;
  memory_id: string | null;
  title: string;
  page: number | null;
  score: number;
  scores: ScoresRead;
  places: Record<string, number>;
};

export type Pong = {
  type: "pong";
  id: string;
  timestamp: string;
  session_id: string | null;
  project_id: string | null;
};

/** How exactly is known when something happened. */
export type Precision = "exact" | "day" | "month" | "year";

/** Single values that differ from those of a preset; what is left out stays as it is. */
export type PresetChanges = {
  /** Steps of an image or video model. */
  steps?: number | null;
  /** Side of a square picture, in pixels. */
  resolution?: number | null;
  /** Passages that a language model is given. */
  retrieval_depth?: number | null;
  /** Of one answer of a language model. */
  max_tokens?: number | null;
  /** Of a language model. */
  temperature?: number | null;
  /** Name of a model; empty: the server's own choice. */
  model?: string | null;
  /** Longest passage that a document is cut into. */
  passage_tokens?: number | null;
  /** Tokens that neighbouring passages share. */
  passage_overlap?: number | null;
};

export type ProjectCreate = {
  name: string;
  description?: string;
};

/** `role` is the caller's own. Since `archived_at` what is in the project can be read, and not changed. */
export type ProjectRead = {
  id: string;
  name: string;
  description: string;
  is_default: boolean;
  owner_id: string;
  role: ProjectRole;
  archived_at: string | null;
  created_at: string;
  updated_at: string;
};

/** Of a member, from least to most: each may do what those before it may. */
export type ProjectRole = "viewer" | "editor" | "owner";

/** How much there is in a project; documents and tasks by their status. `memories`: that are shared with it. */
export type ProjectStatistics = {
  documents: Record<string, number>;
  documents_bytes: number;
  passages: number;
  sessions: number;
  messages: number;
  tasks: Record<string, number>;
  files: number;
  files_bytes: number;
  memories: number;
  members: number;
  webhooks: number;
};

/** What is left out stays as it is. */
export type ProjectUpdate = {
  name?: string | null;
  description?: string | null;
};

/** Durable. The project as it is now; since `archived_at` it is read-only. */
export type ProjectUpdated = {
  type: "project_updated";
  id: string;
  timestamp: string;
  project_id: string;
  seq: number;
  name: string;
  description: string;
  archived_at: string | null;
};

export type QueryRequest = {
  /** Only in these; else in all that the caller is a member of. */
  project_ids?: Array<string> | null;
  /** Kinds of things to find; several make one ranked list. */
  sources?: Array<"documents" | "memories" | "messages">;
  filters?: SearchFilters;
  top_k?: number;
  /** Trades depth for time: `draft` leaves the sparse ranker out, `high` and `ultra` have each ranker name more passages, and rerank them where there is a reranker. */
  quality?: "draft" | "standard" | "high" | "ultra";
  /** Say what each ranker did, and what was cut and why. */
  explain?: boolean;
  question: string;
  /** A room: its project is searched, and its last messages are the conversation so far. */
  session_id?: string | null;
  /** Answer with Server-Sent Events instead of one JSON object. */
  stream?: boolean;
};

/** `answer` holds markers `[n]`, one citation for each. Not `grounded`: nothing in the documents bears it out. */
export type QueryResult = {
  id: string;
  /** `stopped`: what was said until then. */
  status: "complete" | "stopped";
  answer: string;
  citations: Array<Citation>;
  sentences: Array<SentenceRead>;
  grounded: boolean;
  /** Who answered; `hearth-extractive` quotes the documents without a language model. */
  model: string;
  usage: UsageRead;
  timings_ms: Record<string, number>;
  /** With `explain: true`; it is not kept. */
  explanation?: Explanation | null;
};

export type QueueRead = {
  waiting: number;
  running: number;
  /** Since the task that waits longest was queued. */
  oldest_age_seconds: number | null;
};

/** `ranker: none` leaves out what takes time. */
export type RankingOptions = {
  ranker?: string | null;
  score_threshold?: number | null;
};

/** Durable. */
export type ReactionAdded = {
  type: "reaction_added";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  message_id: string;
  user_id: string;
  emoji: string;
};

/** Who reacted so, the first one first. */
export type ReactionRead = {
  emoji: string;
  user_ids: Array<string>;
};

/** Durable. */
export type ReactionRemoved = {
  type: "reaction_removed";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  message_id: string;
  user_id: string;
  emoji: string;
};

/** The number of the last message that was read, or one behind it. */
export type ReadMarkerPut = {
  seq: number;
};

export type ReadMarkerRead = {
  user_id: string;
  last_read_seq: number;
};

export type ReadMarkersRead = {
  items: Array<ReadMarkerRead>;
};

/** What of the question was taken for a `time`, a `person` or an `event` that it dates by, and what was done: the search was `narrowed` to it, what fits was `preferred`, or it was `dropped`, since nothing was found that way. */
export type ReadingRead = {
  kind: "time" | "person" | "event";
  text: string;
  use: "narrowed" | "preferred" | "dropped";
  occurred_from: string | null;
  occurred_before: string | null;
  names: Array<string>;
};

export type RefreshTokenUse = {
  refresh_token: string;
};

export type RegistrationInviteCreate = {
  /** The only address that may use it; none: any. */
  email?: string | null;
  role?: "user" | "admin";
  /** Seconds. */
  expires_in?: number;
};

/** The only time that the invite itself is shown. */
export type RegistrationInviteCreated = {
  id: string;
  email: string | null;
  role: Role;
  created_by: string | null;
  expires_at: string;
  used_at: string | null;
  used_by: string | null;
  created_at: string;
  invite: string;
};

/** Good for one account, while whoever made it is an active admin. */
export type RegistrationInviteRead = {
  id: string;
  email: string | null;
  role: Role;
  created_by: string | null;
  expires_at: string;
  used_at: string | null;
  used_by: string | null;
  created_at: string;
};

export type RemoveReaction = {
  type: "remove_reaction";
  message_id: string;
  emoji: string;
};

export type ResponseError = {
  code: string;
  message: string;
};

/** `output`: what was looked up, then the answer with a `file_citation` for each marker, then calls of tools. */
export type ResponseRead = {
  id: string;
  object?: "response";
  created_at: number;
  status: "in_progress" | "completed" | "incomplete" | "failed";
  error?: ResponseError | null;
  incomplete_details?: Record<string, string> | null;
  instructions: string | null;
  model: string;
  output: Array<Record<string, unknown>>;
  parallel_tool_calls: boolean;
  temperature: number | null;
  top_p: number | null;
  tool_choice: string | Record<string, unknown>;
  tools: Array<Record<string, unknown>>;
  max_output_tokens: number | null;
  previous_response_id?: null;
  store?: false;
  usage?: ResponseUsage | null;
  metadata: Record<string, string>;
};

/** Responses are not kept here: the whole conversation comes as `input`, and there is no `previous_response_id`. */
export type ResponseRequest = {
  model: string;
  input: string | Array<Record<string, unknown>>;
  instructions?: string | null;
  stream?: boolean | null;
  tools?: Array<FileSearchTool | FunctionTool> | null;
  tool_choice?: "none" | "auto" | "required" | Record<string, unknown> | null;
  parallel_tool_calls?: boolean | null;
  include?: Array<string> | null;
  text?: TextOptions | null;
  temperature?: number | null;
  top_p?: number | null;
  max_output_tokens?: number | null;
  previous_response_id?: null;
  background?: false | null;
};

export type ResponseUsage = {
  input_tokens: number;
  input_tokens_details?: TokenDetails;
  output_tokens: number;
  output_tokens_details?: OutputTokenDetails;
  total_tokens: number;
};

export type RestrictionKind = "muted" | "removed";

/** Somebody who is `muted`, or was `removed`; an invite made later lets the latter in again. */
export type RestrictionRead = {
  user_id: string;
  kind: RestrictionKind;
  created_at: string;
};

export type RestrictionsRead = {
  items: Array<RestrictionRead>;
};

export type Resume = {
  type: "resume";
  after_seq: number;
};

/** Of a task that has failed or was cancelled. */
export type RetryTask = {
  type: "retry_task";
  task_id: string;
};

/** Of an account. A guest has a name and one room, no address and no password. */
export type Role = "user" | "admin" | "guest";

export type RoleLimitRead = {
  role: Role;
  budget: Budget;
  rate: string;
};

/** What everybody of a role may do; `rate: null` brings the setting's rate back. */
export type RoleLimitUpdate = {
  role: Role;
  budget: "requests" | "uploads" | "queries" | "messages" | "tokens";
  rate: string | null;
};

export type ScheduleCreate = {
  task_type: string;
  params?: Record<string, unknown>;
  /** Your own setting `default_quality`, or else `standard`. */
  quality?: "draft" | "standard" | "high" | "ultra" | null;
  /** Single values that differ from those of the quality. */
  preset?: PresetChanges;
  name: string;
  /** When, in the time of `timezone`, as Debian's cron understands it. */
  cron: string;
  timezone?: string;
};

/** `next_run_at` is null while it is paused; `pause_reason` says why, when it was not somebody's wish. */
export type ScheduleRead = {
  id: string;
  project_id: string;
  owner_id: string;
  name: string;
  task_type: string;
  params: Record<string, unknown>;
  quality: string;
  preset: Record<string, unknown>;
  cron: string;
  timezone: string;
  is_paused: boolean;
  pause_reason: string;
  next_run_at: string | null;
  last_run_at: string | null;
  created_at: string;
  updated_at: string;
};

/** What is left out stays as it is. */
export type ScheduleUpdate = {
  name?: string | null;
  cron?: string | null;
  timezone?: string | null;
  params?: Record<string, unknown> | null;
  quality?: "draft" | "standard" | "high" | "ultra" | null;
  preset?: PresetChanges | null;
  is_paused?: boolean | null;
};

/** What an API key may be used for; a signed-in person has all of them. */
export type Scope = "read" | "write" | "admin";

/** What each ranker says by itself; null where it has nothing to say about the passage. */
export type ScoresRead = {
  /** Cosine similarity of the embeddings, -1 to 1. */
  dense: number | null;
  /** BM25 of the question's words, above 0; comparable within one search. */
  text: number | null;
  /** What question and passage both speak of; within one search. */
  sparse?: number | null;
  /** Of the reranker, where it was asked about this passage. */
  rerank?: number | null;
};

/** Narrow the search; all that is given must hold. Some of it only documents have, and some only memories. */
export type SearchFilters = {
  document_ids?: Array<string> | null;
  media_type?: string | null;
  /** Keys that the documents' metadata must have, with equal values. */
  metadata?: Record<string, unknown> | null;
  where?: Record<string, unknown> | null;
  /** Added, or written down, at this time or later. */
  created_from?: string | null;
  /** Added, or written down, before this time. */
  created_before?: string | null;
  /** Memories of then or later. */
  occurred_from?: string | null;
  /** Memories of before then. */
  occurred_before?: string | null;
  /** Memories in which all of them are. */
  person_ids?: Array<string> | null;
  /** Memories of this place. */
  location_id?: string | null;
  /** Memories with all of them. */
  tags?: Array<string> | null;
  memory_ids?: Array<string> | null;
};

export type SearchPage = {
  object?: "vector_store.search_results.page";
  search_query: Array<string>;
  data: Array<FoundRead>;
  has_more?: false;
  next_page?: null;
};

export type SearchRequest = {
  /** Only in these; else in all that the caller is a member of. */
  project_ids?: Array<string> | null;
  /** Kinds of things to find; several make one ranked list. */
  sources?: Array<"documents" | "memories" | "messages">;
  filters?: SearchFilters;
  top_k?: number;
  /** Trades depth for time: `draft` leaves the sparse ranker out, `high` and `ultra` have each ranker name more passages, and rerank them where there is a reranker. */
  quality?: "draft" | "standard" | "high" | "ultra";
  /** Say what each ranker did, and what was cut and why. */
  explain?: boolean;
  query: string;
};

/** The best passages, best first. `timings_ms`: milliseconds by stage, `total` included. */
export type SearchResult = {
  items: Array<HitRead>;
  timings_ms: Record<string, number>;
  /** With `explain: true`. */
  explanation?: Explanation | null;
};

/** The same `client_id` again makes no second message; a connection that was not told of the first is told now. */
export type SendMessage = {
  type: "send_message";
  text: string;
  client_id?: string | null;
  reply_to?: string | null;
};

/** A sentence of the answer, at `char_start`:`char_end` (code points) of `answer`, and what bears it out. */
export type SentenceRead = {
  char_start: number;
  char_end: number;
  /** Markers of its citations, also where the text shows none. */
  citations: Array<number>;
  /** Whether what it cites says so; a sentence that is not is the model's own. */
  supported: boolean;
};

/** `project_id`: whose documents the spirit answers from; your default project otherwise. */
export type SessionCreate = {
  name: string;
  max_users?: number;
  spirit_mode?: SpiritMode;
  /** Whether everybody who is let in may hear what the project's documents say. Else the spirit leaves the documents out while somebody may follow the room who is no member of the project. */
  shares_documents?: boolean;
  project_id?: string | null;
};

/** `name`: what a guest is called in the room; a signed-in caller keeps their own. */
export type SessionJoin = {
  invite: string;
  name?: string | null;
};

export type SessionRead = {
  id: string;
  name: string;
  max_users: number;
  spirit_mode: SpiritMode;
  project_id: string;
  owner_id: string;
  is_active: boolean;
  shares_documents: boolean;
  created_at: string;
  updated_at: string;
};

/** What is left out stays as it is. */
export type SessionUpdate = {
  name?: string | null;
  max_users?: number | null;
  spirit_mode?: SpiritMode | null;
  is_active?: boolean | null;
  shares_documents?: boolean | null;
};

/** Durable. The room as it is now; when it is not `is_active`, sockets are closed with 4403. */
export type SessionUpdated = {
  type: "session_updated";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  name: string;
  max_users: number;
  spirit_mode: string;
  is_active: boolean;
  shares_documents: boolean;
};

/** Where a memory comes from, and the ids of what it was made from. */
export type SourceRead = {
  kind: string;
  ids: Record<string, unknown>;
};

/** Durable. So many messages wait for the spirit that it will not answer this one. */
export type SpiritBusy = {
  type: "spirit_busy";
  id: string;
  timestamp: string;
  session_id: string;
  seq: number;
  in_reply_to: string;
  waiting: number;
};

export type SpiritMode = "always" | "mention" | "off";

export type SpiritThinking = {
  type: "spirit_thinking";
  id: string;
  timestamp: string;
  session_id: string;
  in_reply_to: string;
};

/** The next piece of the answer; for a joiner in the middle the first `delta` is all that was said so far. `offset`: how many code points of the answer come before `delta`; null when that is not known. */
export type SpiritToken = {
  type: "spirit_token";
  id: string;
  timestamp: string;
  session_id: string;
  in_reply_to: string;
  delta: string;
  offset: number | null;
};

export type StartGeneration = {
  type: "start_generation";
  task_type: string;
  params?: Record<string, unknown>;
  quality?: "draft" | "standard" | "high" | "ultra" | null;
  preset?: PresetChanges;
  run_at?: string | null;
  after?: Array<string>;
};

/** The state is now of this `version` and was of the one before; 0 is none. `changes` is the merge patch (RFC 7396) that leads from one to the other; null where the state was replaced, or the patch is long: then, or after a version that was not told of, the state is read over HTTP. */
export type StateChanged = {
  type: "state_changed";
  id: string;
  timestamp: string;
  project_id: string;
  version: number;
  previous_version: number;
  changes: Record<string, unknown> | null;
  by: string;
};

/** Numbers alone. Where it says so, tables of more than 10,000 rows are estimated. */
export type StatisticsRead = {
  users: Array<UserCountRead>;
  documents: Array<DocumentCountRead>;
  tasks: Array<TaskCountRead>;
  /** Estimated above 10,000. */
  projects: number;
  /** Estimated above 10,000. */
  rooms: number;
  /** Estimated above 10,000. */
  passages: number;
  /** Estimated above 10,000. */
  messages: number;
  queue: QueueRead;
  logins_last_day: number;
};

export type Stop = {
  type: "stop";
};

/** Nothing here expires, and passages are cut as everywhere, so that `chunking_strategy` is ignored. */
export type StoreCreate = {
  name?: string | null;
  file_ids?: Array<string> | null;
  expires_after?: null;
  metadata?: Record<string, string> | null;
};

export type StoreError = {
  code: "server_error" | "unsupported_file" | "invalid_file";
  message: string;
};

/** `attributes` become the document's metadata. */
export type StoreFileCreate = {
  file_id: string;
  attributes?: Record<string, unknown> | null;
};

/** A document in its project; `attributes` are those of its metadata that are plain values. */
export type StoreFileRead = {
  id: string;
  object?: "vector_store.file";
  created_at: number;
  vector_store_id: string;
  usage_bytes: number;
  status: "in_progress" | "completed" | "failed";
  last_error: StoreError | null;
  attributes: Record<string, string | number | boolean>;
};

/** A project. `status` is `completed` when nothing in it is being read. */
export type StoreRead = {
  id: string;
  object?: "vector_store";
  created_at: number;
  name: string;
  usage_bytes: number;
  file_counts: FileCounts;
  status: "in_progress" | "completed";
  last_active_at: number;
  metadata: Record<string, string>;
};

/** Several queries make one ranked list. `rewrite_query` is ignored: questions are searched for as they are. */
export type StoreSearch = {
  query: string | Array<string>;
  max_num_results?: number | null;
  filters?: Record<string, unknown> | null;
  ranking_options?: RankingOptions | null;
  rewrite_query?: boolean | null;
};

export type StoreUpdate = {
  name?: string | null;
  expires_after?: null;
  metadata?: Record<string, string> | null;
};

export type StreamOptions = {
  /** Tell the tokens in a last chunk. */
  include_usage?: boolean | null;
};

/** Durable. `duration` in seconds. */
export type TaskCompleted = {
  type: "complete";
  id: string;
  timestamp: string;
  project_id: string;
  task_id: string;
  task_type: string;
  seq: number;
  result: Record<string, unknown>;
  duration: number;
};

export type TaskCountRead = {
  task_type: string;
  status: TaskStatus;
  count: number;
};

export type TaskCreate = {
  task_type: string;
  params?: Record<string, unknown>;
  /** Your own setting `default_quality`, or else `standard`. */
  quality?: "draft" | "standard" | "high" | "ultra" | null;
  /** Single values that differ from those of the quality. */
  preset?: PresetChanges;
  /** Not before this time. */
  run_at?: string | null;
  /** Tasks of this project that have to succeed before it begins. */
  after?: Array<string>;
};

/** Durable. */
export type TaskFailed = {
  type: "error";
  id: string;
  timestamp: string;
  project_id: string;
  task_id: string;
  task_type: string;
  seq: number;
  error_code: string;
  message: string;
  details: Record<string, unknown>;
};

/** A try that went wrong before the last one. */
export type TaskFailure = {
  attempt: number;
  at: string;
  code: string;
  message: string;
};

export type TaskProgress = {
  type: "progress";
  id: string;
  timestamp: string;
  project_id: string;
  task_id: string;
  task_type: string;
  progress: number;
  message: string;
  preview_url: string | null;
};

/** `preset`: what the quality means here; `progress` runs from 0 to 1; `error` has `code`, `message`, `details`. `failures`: earlier tries, the newest last; `waits_for`: so many tasks that it comes after have not succeeded yet; `run_after`: it is not begun, or not tried again, before this time. */
export type TaskRead = {
  id: string;
  project_id: string;
  task_type: string;
  quality: string;
  params: Record<string, unknown>;
  preset: Record<string, unknown>;
  status: TaskStatus;
  progress: number;
  message: string;
  preview_url: string | null;
  result: Record<string, unknown> | null;
  error: Record<string, unknown> | null;
  attempts: number;
  failures: Array<TaskFailure>;
  waits_for: number;
  run_after: string;
  schedule_id: string | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
};

/** Durable. */
export type TaskStarted = {
  type: "task_started";
  id: string;
  timestamp: string;
  project_id: string;
  task_id: string;
  task_type: string;
  seq: number;
  params: Record<string, unknown>;
  attempt: number;
};

/** A task that is under way, for those who join late. */
export type TaskState = {
  task_id: string;
  task_type: string;
  status: string;
  progress: number;
  message: string;
  preview_url: string | null;
};

export type TaskStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** A kind of work. `params` is the JSON Schema of its parameters; `presets`: what each quality means for it. */
export type TaskTypeRead = {
  name: string;
  description: string;
  may_be_started: boolean;
  params: Record<string, unknown>;
  presets: Record<string, Record<string, number | string>>;
};

export type TextOptions = {
  format?: Record<string, unknown> | null;
};

/** A small copy of a picture: `small` has at most 320 pixels on its longer side, `large` 1280. */
export type ThumbnailRead = {
  name: "small" | "large";
  media_type: string;
  width: number;
  height: number;
};

/** Goes into `?ticket=` of a WebSocket's address, once, within `expires_in` seconds. */
export type TicketRead = {
  ticket: string;
  expires_in: number;
};

/** The newest bucket first, without empty ones. */
export type Timeline = {
  bucket: "day" | "month" | "year";
  items: Array<BucketRead>;
  next_cursor: string | null;
};

export type TokenDetails = {
  cached_tokens?: number;
  cache_write_tokens?: number;
};

/** `expires_in`: seconds the access token is good for. The refresh token is good for one use. */
export type TokensRead = {
  access_token: string;
  refresh_token: string;
  token_type: "bearer";
  expires_in: number;
};

export type Typing = {
  type: "typing";
};

/** `revision`: the state to go back to; without one, that before the last change. */
export type UndoRequest = {
  revision?: number | null;
};

/** Tokens of the language model; 0 where none was asked, or it does not count. */
export type UsageRead = {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
};

export type UserCountRead = {
  role: Role;
  is_active: boolean;
  count: number;
};

export type UserCreate = {
  email: string;
  password: string;
  name: string;
  /** Where registration is by invite. */
  invite?: string | null;
};

export type UserJoined = {
  type: "user_joined";
  id: string;
  timestamp: string;
  session_id: string;
  user: Person;
  participants: number;
};

export type UserLeft = {
  type: "user_left";
  id: string;
  timestamp: string;
  session_id: string;
  user: Person;
  participants: number;
};

/** An account, as its owner sees it. */
export type UserRead = {
  id: string;
  email: string | null;
  email_verified: boolean;
  name: string;
  about: string;
  role: Role;
  settings: UserSettingsRead;
  preferences: Record<string, unknown>;
  created_at: string;
  updated_at: string;
};

/** What Hearth itself goes by; null: not set. */
export type UserSettingsRead = {
  language?: string | null;
  timezone?: string | null;
  default_quality?: string | null;
  remember?: string | null;
};

/** `language` (BCP 47), `timezone` (IANA), the quality of tasks that are started without one, and what becomes of candidates for memories: you are asked, or they are accepted. */
export type UserSettingsUpdate = {
  language?: string | null;
  timezone?: string | null;
  default_quality?: "draft" | "standard" | "high" | "ultra" | null;
  remember?: "ask" | "accept" | null;
};

export type UserTyping = {
  type: "typing";
  id: string;
  timestamp: string;
  session_id: string;
  user: Person;
};

/** What is left out stays as it is, single settings too; a setting that is null is not set any more. `preferences` replace those that were there. */
export type UserUpdate = {
  name?: string | null;
  about?: string | null;
  settings?: UserSettingsUpdate | null;
  /** Any JSON object of at most 16 KB; Hearth only keeps it. */
  preferences?: Record<string, unknown> | null;
};

export type VersionPage = {
  items: Array<VersionRead>;
  next_cursor: string | null;
};

/** What a memory was after change number `revision`; `change` says what was done, by `changed_by`. */
export type VersionRead = {
  revision: number;
  change: "created" | "updated" | "undone" | "deleted" | "restored" | "merged";
  changed_by: string | null;
  state: Record<string, unknown>;
  created_at: string;
};

export type WebhookCreate = {
  url: string;
  /** What is told. */
  events?: Array<"task_started" | "progress" | "complete" | "error" | "file_changed" | "project_updated" | "webhook_disabled">;
  description?: string;
};

/** `secret` is shown this once. */
export type WebhookCreated = {
  id: string;
  project_id: string;
  url: string;
  description: string;
  events: Array<string>;
  is_active: boolean;
  disabled_reason: string | null;
  failures: number;
  failing_since: string | null;
  created_at: string;
  updated_at: string;
  secret: string;
};

/** Durable. Nothing arrived there for long, so nothing is sent there any more. */
export type WebhookDisabled = {
  type: "webhook_disabled";
  id: string;
  timestamp: string;
  project_id: string;
  seq: number;
  webhook_id: string;
  url: string;
  reason: string;
};

/** `disabled_reason`: why this server switched it off. `failures`: in a row, since `failing_since`. */
export type WebhookRead = {
  id: string;
  project_id: string;
  url: string;
  description: string;
  events: Array<string>;
  is_active: boolean;
  disabled_reason: string | null;
  failures: number;
  failing_since: string | null;
  created_at: string;
  updated_at: string;
};

/** `secret` is shown this once; until `previous_until` messages are signed with the one before, too. */
export type WebhookSecret = {
  secret: string;
  previous_until: string;
};

/** What is left out stays as it is. `is_active` true begins anew where nothing arrived for long. */
export type WebhookUpdate = {
  url?: string | null;
  events?: Array<"task_started" | "progress" | "complete" | "error" | "file_changed" | "project_updated" | "webhook_disabled"> | null;
  description?: string | null;
  is_active?: boolean | null;
};

/** First frame of a connection. `recovered` is false when `after_seq` lies before what the log still holds. */
export type Welcome = {
  type: "welcome";
  id: string;
  timestamp: string;
  session_id: string | null;
  project_id: string | null;
  you: Person;
  participants: Array<Person>;
  last_seq: number;
  recovered: boolean;
  active_tasks: Array<TaskState>;
};

/** A file of a project. Its `sha256` is its `ETag`, too. */
export type appschemasfilesFileRead = {
  id: string;
  project_id: string;
  path: string;
  size: number;
  media_type: string;
  sha256: string;
  created_by: string | null;
  created_at: string;
  updated_at: string;
  url: string;
  /** A small picture of a picture, the first lines of a text; null for all else. */
  preview_url: string | null;
};

export type appschemasopenaicommonDeletedReadLiteralvectorstoredeleted = {
  id: string;
  object: "vector_store.deleted";
  deleted?: true;
};

export type appschemasopenaicommonDeletedReadLiteralvectorstorefiledeleted = {
  id: string;
  object: "vector_store.file.deleted";
  deleted?: true;
};

/** A document. `status` is `processed` once it can be searched. */
export type appschemasopenaifilesFileRead = {
  id: string;
  object?: "file";
  bytes: number;
  created_at: number;
  filename: string;
  purpose?: "assistants";
  status: "uploaded" | "processed" | "error";
  status_details: string | null;
};

export type RoomEvent = Welcome | ErrorOccurred | Pong | MessageReceived | MessageEdited | MessageDeleted | ReactionAdded | ReactionRemoved | MessagesRead | ParticipantMuted | ParticipantUnmuted | ParticipantRemoved | SessionUpdated | SpiritBusy | UserJoined | UserLeft | UserTyping | SpiritThinking | SpiritToken;

export type ProjectEvent = Welcome | ErrorOccurred | Pong | TaskStarted | TaskCompleted | TaskFailed | ProjectUpdated | FileChanged | WebhookDisabled | TaskProgress | StateChanged;

export type RoomCommand = SendMessage | EditMessage | DeleteMessage | AddReaction | RemoveReaction | MarkRead | Typing | Ping | Resume | Stop | Authenticate;

export type ProjectCommand = StartGeneration | CancelTask | RetryTask | Ping | Resume | Authenticate;
