"""Multipart bodies (RFC 7578), part by part at the pace of whoever reads them, in the memory of one network read."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.errors import BadRequest, PayloadTooLarge

MAX_PARTS = 32
MAX_FIELD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part; `filename` is None for a plain field."""

    name: str
    filename: str | None


class Multipart:
    """`async for part in body.parts()`, and in the loop `body.data()` or `body.text()`; what is not read is skipped."""

    def __init__(self, content_type: str, stream: AsyncIterator[bytes]) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise BadRequest("The multipart body has no boundary.")
        self._stream = stream
        self._found: deque[Part | bytes | None] = deque()  # a part, then its bytes, then None for its end
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._parts = 0
        self._is_complete = False
        self._parser = self._create_parser(boundary)

    async def parts(self) -> AsyncIterator[Part]:
        """The parts in the order in which they come.

        Raises:
            BadRequest: the body is malformed, or ends too early.
        """
        while await self._fill():
            found = self._found.popleft()
            if isinstance(found, Part):
                yield found

    async def data(self) -> AsyncIterator[bytes]:
        """What the current part holds."""
        while await self._fill():
            found = self._found.popleft()
            if not isinstance(found, bytes):
                return
            yield found

    async def text(self) -> str:
        """What the current part holds, as text.

        Raises:
            PayloadTooLarge: it is longer than a field may be.
        """
        content = bytearray()
        async for piece in self.data():
            content += piece
            if len(content) > MAX_FIELD_BYTES:
                raise PayloadTooLarge(f"A field may have at most {MAX_FIELD_BYTES:,} bytes.", max_bytes=MAX_FIELD_BYTES)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise BadRequest("The fields of the multipart body are not UTF-8.") from error

    async def _fill(self) -> bool:
        """Read until something is found; False at the end of the body."""
        while not self._found and not self._is_complete:
            piece = await anext(self._stream, None)
            if piece is None:
                raise BadRequest("The multipart body ends too early.")
            try:
                self._parser.write(piece)
            except FormParserError as error:
                raise BadRequest("The multipart body is malformed.") from error
        return bool(self._found)

    def _create_parser(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadRequest("The multipart body has no proper boundary.") from error

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FormParserError("too many parts")
        self._name, self._value, self._headers = b"", b"", {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        filename = options.get(b"filename")
        name = options.get(b"name", b"").decode(errors="replace")
        self._found.append(Part(name, None if filename is None else filename.decode(errors="replace")))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _on_part_end(self) -> None:
        self._found.append(None)

    def _on_end(self) -> None:
        self._is_complete = True
