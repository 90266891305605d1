"""Every number that this process counts, in one registry.

Labels have few values each, all from our own code: names of operations, never paths, ids or what callers sent.
"""

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app import __version__

OverProcesses = Literal["livesum", "max", "livemax", "livemostrecent"]

REGISTRY: Final = CollectorRegistry()

CALL_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds; for what a request does many times."""
REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
MODEL_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
WORK_BUCKETS: Final = (0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str, over_processes: OverProcesses = "livesum") -> Gauge:
    """`over_processes`: what the processes of one server come to together."""
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=over_processes)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


BUILD = _gauge("hearth_build_info", "The version that runs.", "version", over_processes="max")
BUILD.labels(__version__).set(1)

# --- requests and sockets -------------------------------------------------------------------------------------------
REQUESTS = _counter("hearth_http_requests", "HTTP requests.", "method", "operation", "status")
REQUEST_SECONDS = _histogram(
    "hearth_http_request_seconds", "Time to serve a request.", "method", "operation", buckets=REQUEST_BUCKETS
)
REQUESTS_IN_PROGRESS = _gauge("hearth_http_requests_in_progress", "Requests that are being served.")
CONNECTIONS = _gauge("hearth_websocket_connections", "Open sockets and streams of rooms and projects.")
CHANNELS = _gauge("hearth_channels", "Rooms and projects with local sockets.")
COMMANDS = _counter("hearth_websocket_commands", "What clients said on sockets.", "command", "outcome")
COMMAND_SECONDS = _histogram(
    "hearth_websocket_command_seconds", "Time to carry a command out.", "command", buckets=REQUEST_BUCKETS
)
FANOUT_SECONDS = _histogram(
    "hearth_fanout_seconds",
    "From the publishing of an event to the outboxes of all who get it: in this process, or from another by Redis.",
    "way",
    buckets=CALL_BUCKETS,
)
CUT_OFF = _counter("hearth_listeners_cut_off", "Connections that were ended by us.", "reason")

# --- what we depend on ----------------------------------------------------------------------------------------------
LOOP_LAG = _histogram(
    "hearth_event_loop_lag_seconds",
    "How late the event loop is.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
POOL_CONNECTIONS = _gauge("hearth_database_connections", "Connections of the pool.", "state")
POOL_SIZE = _gauge("hearth_database_connections_max", "Connections that the pool may open.")
STATEMENT_SECONDS = _histogram(
    "hearth_database_statement_seconds", "Time of one SQL statement.", "operation", buckets=CALL_BUCKETS
)
STATEMENT_FAILURES = _counter("hearth_database_failures", "Statements and connections that failed.", "kind")
REDIS_SECONDS = _histogram("hearth_redis_call_seconds", "Time of one round trip.", "kind", buckets=CALL_BUCKETS)
REDIS_FAILURES = _counter("hearth_redis_failures", "Round trips that failed.")
NOT_CARRIED = _counter("hearth_realtime_frames_not_carried", "Frames that Redis did not take; the log has them.")
LIMITER_DEGRADED = _gauge(
    "hearth_rate_limiter_degraded", "1 while limits are counted without Redis.", over_processes="livemax"
)
LIMITER_FALLBACKS = _counter("hearth_rate_limiter_fallbacks", "Uses that were counted without Redis.")
LIMIT_REFUSALS = _counter("hearth_rate_limit_refusals", "Uses that were refused.", "budget")

# --- work that goes on ----------------------------------------------------------------------------------------------
# From the database, so that every server tells the same: max without (instance).
TASKS_WAITING = _gauge(
    "hearth_tasks_waiting", "Tasks that could begin now.", "task_type", over_processes="livemostrecent"
)
TASKS_OLDEST = _gauge(
    "hearth_tasks_oldest_waiting_seconds",
    "How long the oldest of them has waited.",
    "task_type",
    over_processes="livemostrecent",
)
TASKS_RUNNING = _gauge("hearth_tasks_running", "Tasks that run.", "task_type", over_processes="livemostrecent")
TASKS_HERE = _gauge("hearth_worker_tasks_running", "Tasks that run in this worker.")
TASKS_ENDED = _counter("hearth_tasks_ended", "Attempts that ended in this worker.", "task_type", "outcome")
TASK_SECONDS = _histogram("hearth_task_seconds", "Time of one attempt.", "task_type", buckets=WORK_BUCKETS)
WORKER_STEP_FAILURES = _counter("hearth_worker_step_failures", "Steps of the worker's upkeep that failed.")
INGESTED = _counter("hearth_ingest_documents", "Documents that were read.", "outcome")
PASSAGES = _counter("hearth_ingest_passages", "Passages that were made searchable.")
INGEST_SECONDS = _histogram(
    "hearth_ingest_stage_seconds", "Time of one stage of reading a document.", "stage", buckets=WORK_BUCKETS
)

# --- finding and answering ------------------------------------------------------------------------------------------
RETRIEVAL_SECONDS = _histogram(
    "hearth_retrieval_stage_seconds", "Time of one stage of a search.", "stage", buckets=REQUEST_BUCKETS
)
MODEL_SECONDS = _histogram(
    "hearth_model_call_seconds", "Time of one call to a model's endpoint.", "kind", buckets=MODEL_BUCKETS
)
MODEL_CALLS = _counter("hearth_model_calls", "Calls to endpoints of models.", "kind", "outcome")
FIRST_TOKEN_SECONDS = _histogram(
    "hearth_llm_first_token_seconds", "From the call to the first words.", buckets=MODEL_BUCKETS
)
TOKENS = _counter("hearth_llm_tokens", "Tokens of the language model, as its endpoint counts them.", "kind")

# --- tracing itself -------------------------------------------------------------------------------------------------
SPANS = _counter("hearth_trace_spans", "Spans that ended.", "outcome")
