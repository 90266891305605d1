"""Bytes to text, and text to what the database and the reader can bear. Runs before offsets exist, and never after."""

import codecs
import re
import unicodedata
from collections.abc import Sequence

import charset_normalizer

SAMPLE_BYTES = 131_072
UTF8_TOLERANCE = 20  # well-formed characters that outweigh one broken byte
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Detection often finds several encodings equally likely: then the one in wider use is right.
COMMON_ENCODINGS = ("cp932", "gb18030", "big5", "cp949", "euc_jp", "cp1252", "cp1251", "cp1253", "cp1255", "cp1256")

_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Control characters (PostgreSQL refuses NUL), and invisible ones that would keep a word from being found:
# zero-width space, word joiner, byte order mark, soft hyphen. Joiners stay: emoji and Persian need them.
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\xad\u200b\u2060\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_PRESENTATION_FORMS = re.compile("[\ufb00-\ufd3d\ufd40-\ufdff\ufe70-\ufefc]+")
_SPACES = re.compile(r"[^\S\n\t]+")
_BLANK_LINES = re.compile(r"\n{3,}")


def decode(data: bytes, declared: str | None = None) -> str:
    """Text of `data` in whatever encoding it is: byte order mark, UTF-8, `declared`, then the likeliest."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    wide = utf16_without_mark(data[:SAMPLE_BYTES])
    if wide:
        return data.decode(wide, "replace")
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    foreign = len(data) - len(text)  # grows with every character beyond ASCII
    if not broken or foreign > broken * UTF8_TOLERANCE:
        return text
    return _decode_legacy(data, declared)


def utf16_without_mark(sample: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` where nearly every second byte is NUL, as in Western text."""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if half and odd > 0.6 * half and even < 0.1 * half:
        return "utf-16-le"
    if half and even > 0.6 * half and odd < 0.1 * half:
        return "utf-16-be"
    return None


def _decode_legacy(data: bytes, declared: str | None) -> str:
    if declared:
        try:
            return data.decode(declared)
        except (LookupError, ValueError):
            pass
    return data.decode(likeliest_encoding(data), "replace")


def likeliest_encoding(data: bytes) -> str:
    """Of bytes that are not UTF-8."""
    start = next((position for position, byte in enumerate(data) if byte > 127), 0)
    sample = data[max(0, start - SAMPLE_BYTES // 2) :][:SAMPLE_BYTES]
    matches = list(charset_normalizer.from_bytes(sample))
    if not matches:
        return "cp1252"
    best = min((match.chaos, -match.coherence) for match in matches)
    equal = [name for match in matches if (match.chaos, -match.coherence) == best for name in _names(match)]
    return next((name for name in COMMON_ENCODINGS if name in equal), equal[0])


def _names(match: charset_normalizer.CharsetMatch) -> Sequence[str]:
    return [match.encoding, *match.could_be_from_charset]


def make_safe(text: str) -> str:
    """`text` as PostgreSQL and every client can hold it: one kind of line break, nothing invisible, NFC."""
    if text.isascii() and text.isprintable():
        return text  # the common case of a line, for the sake of speed
    text = _LINE_BREAKS.sub("\n", text)
    text = _UNWANTED.sub("", text)
    text = _SURROGATES.sub("\ufffd", text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def tidy(text: str) -> str:
    """`make_safe`, and the white space of a page's layout taken out: for formats whose spacing is an accident."""
    if text.isascii() and text.isprintable():
        return _SPACES.sub(" ", text).strip()
    text = _PRESENTATION_FORMS.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = _SPACES.sub(" ", make_safe(text))
    text = "\n".join(line.strip() for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", text).strip("\n")
