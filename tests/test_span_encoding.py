"""What is sent of spans is what protobuf reads, whatever is in them."""

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from app.telemetry.encoding import encode
from app.telemetry.spans import Kind, Span, Value

VALUES = st.one_of(st.text(max_size=300), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))


ATTRIBUTES = st.dictionaries(st.text(max_size=20), VALUES, max_size=12)


@given(st.lists(st.tuples(st.text(max_size=200), ATTRIBUTES, st.text(max_size=9))))
def test_whatever_spans_hold_is_read_back(told: list[tuple[str, dict[str, Value], str]]):
    spans = [
        Span(name, Kind.CLIENT, f"{number:032x}", number, dict(said)) for number, (name, said, _) in enumerate(told)
    ]
    for span, (_, _, error) in zip(spans, told, strict=True):
        span.end(error)
    read = ExportTraceServiceRequest.FromString(encode(spans, {"service.name": "hearth"}))
    [resource_spans] = read.resource_spans
    [scope_spans] = resource_spans.scope_spans
    assert [pair.key for pair in resource_spans.resource.attributes] == ["service.name"]
    assert scope_spans.scope.name == "hearth"
    assert [span.name for span in scope_spans.spans] == [name for name, _, _ in told]
    for encoded, (_, attributes, error) in zip(scope_spans.spans, told, strict=True):
        expected = attributes | ({"error.type": error} if error else {})
        found = {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in encoded.attributes}
        assert found == expected
        assert (encoded.status.code == Status.STATUS_CODE_ERROR) == bool(error)
