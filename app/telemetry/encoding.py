"""Spans as OTLP has them (protobuf).

What comes again and again is encoded once: messages of one kind, one after another, are one message with the fields of
all (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan

from app import __version__
from app.telemetry.spans import Kind, Span, Value

SCOPE: Final = ScopeSpans(scope=InstrumentationScope(name="hearth", version=__version__)).SerializeToString()
KINDS: Final = {kind: EncodedSpan.SpanKind.Value(f"SPAN_KIND_{kind.name}") for kind in Kind}
REMEMBERED: Final = 2_048  # pairs: the same statements, routes and codes come again and again

# Fields of repeated messages, as they begin: number and wire type 2.
RESOURCE_SPANS, SCOPE_SPANS, SPANS = b"\x0a", b"\x12", b"\x12"


def encode(spans: Sequence[Span], resource: Mapping[str, Value]) -> bytes:
    """The body of one `POST /v1/traces`: an `ExportTraceServiceRequest`."""
    scope_spans = SCOPE + b"".join([_field(SPANS, _encoded(span)) for span in spans])
    described = ResourceSpans(resource=Resource(attributes=[_pair(*pair) for pair in resource.items()]))
    return _field(RESOURCE_SPANS, described.SerializeToString() + _field(SCOPE_SPANS, scope_spans))


def _encoded(span: Span) -> bytes:
    encoded = EncodedSpan(
        trace_id=bytes.fromhex(span.trace_id),
        span_id=span.span_id.to_bytes(8, "big"),
        parent_span_id=span.parent_id.to_bytes(8, "big") if span.parent_id else b"",
        name=span.name,
        kind=KINDS[span.kind],
        start_time_unix_nano=span.started,
        end_time_unix_nano=span.ended,
        flags=1,
    )
    for link in span.links:
        encoded.links.add(trace_id=bytes.fromhex(link.trace_id), span_id=link.span_id.to_bytes(8, "big"), flags=1)
    if span.error:
        encoded.attributes.append(_pair("error.type", span.error))
        encoded.status.code = Status.STATUS_CODE_ERROR
    said: bytes = encoded.SerializeToString()
    return said + b"".join([_attribute(key, value) for key, value in span.attributes.items()])


@lru_cache(REMEMBERED, typed=True)
def _attribute(key: str, value: Value) -> bytes:
    """A span that has nothing else."""
    alone: bytes = EncodedSpan(attributes=[_pair(key, value)]).SerializeToString()
    return alone


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


def _field(begin: bytes, content: bytes) -> bytes:
    """`content` as a field, behind its length as a varint: seven bits a byte, the lowest first."""
    length, digits = len(content), bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return begin + digits + content
