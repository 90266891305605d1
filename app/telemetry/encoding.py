"""Spans as OTLP has them (protobuf)."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan

from app import __version__
from app.telemetry.spans import Kind, Span, Value

SCOPE = InstrumentationScope(name="hearth", version=__version__)
KINDS = {kind: EncodedSpan.SpanKind.Value(f"SPAN_KIND_{kind.name}") for kind in Kind}
REMEMBERED = 2_048  # pairs: the same statements, routes and codes come again and again


def encode(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """The body of one `POST /v1/traces`."""
    scope_spans = ScopeSpans(scope=SCOPE, spans=[_encoded(span) for span in spans])
    whole = ResourceSpans(resource=Resource(attributes=_pairs(resource)), scope_spans=[scope_spans])
    body: bytes = ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString()
    return body


def _encoded(span: Span) -> EncodedSpan:
    encoded = EncodedSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent_id.to_bytes(8, "big") if span.parent_id else b"",
        name=span.name,
        kind=KINDS[span.kind],
        start_time_unix_nano=span.started,
        end_time_unix_nano=span.ended,
        attributes=_pairs(span.attributes),
        flags=1,
    )
    for link in span.links:
        encoded.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=link.span_id.to_bytes(8, "big"), flags=1)
    if span.error:
        encoded.attributes.append(_pair("error.type", span.error))
        encoded.status.code = Status.STATUS_CODE_ERROR
    return encoded


def _pairs(attributes: Mapping[str, Value]) -> Iterable[KeyValue]:
    return [_pair(key, value) for key, value in attributes.items()]


@lru_cache(REMEMBERED, typed=True)
def _pair(key: str, value: Value) -> KeyValue:
    match value:
        case bool():
            return KeyValue(key=key, value=AnyValue(bool_value=value))
        case int():
            return KeyValue(key=key, value=AnyValue(int_value=value))
        case float():
            return KeyValue(key=key, value=AnyValue(double_value=value))
        case _:
            return KeyValue(key=key, value=AnyValue(string_value=value))
