"""Books (EPUB): their chapters in reading order, each read as the HTML that it is."""

import posixpath
from collections.abc import Mapping
from urllib.parse import unquote, urldefrag

from app.adapters.parsers.documents import Composer, Extracted, Unreadable
from app.adapters.parsers.hypertext import read_html
from app.adapters.parsers.packages import Ignore, Package, Texts, open_package
from app.adapters.parsers.texts import tidy

CONTENTS_TYPES = ("application/x-dtbncx+xml",)
MAX_CHAPTERS = 5_000


def read_epub(data: bytes) -> Extracted:
    """A chapter without a heading of its own takes that of the table of contents."""
    with open_package(data) as package:
        container, title = _Container(), Texts(("title",))
        package.read("META-INF/container.xml", container)
        book = _Book(container.root)
        if not package.read(container.root, book):
            raise Unreadable("CORRUPT", "The file is damaged: it holds no book.")
        package.read(container.root, title)
        chapters = book.chapters[:MAX_CHAPTERS]
        _refuse_encrypted(package, frozenset(chapters))
        labels = _Labels(book.contents)
        package.read(book.contents, labels)
        composer = Composer()
        for chapter in chapters:
            _add_chapter(composer, read_html(package.read_bytes(chapter)), labels.found.get(chapter, ""))
    return composer.finish(title.found.get("title"))


def _add_chapter(composer: Composer, found: Extracted, label: str) -> None:
    if not found.text.strip():
        return
    if label and not found.headings:
        composer.add_heading(1, label)
    composer.include(found, below=0)


def _refuse_encrypted(package: Package, chapters: frozenset[str]) -> None:
    """Fonts may be scrambled in a book that anybody can read; chapters are not."""
    encryption = _Encryption()
    package.read("META-INF/encryption.xml", encryption)
    if encryption.parts & chapters:
        raise Unreadable("ENCRYPTED", "The book is protected against copying.")


class _Container(Ignore):
    def __init__(self) -> None:
        self.root = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "rootfile" and not self.root:
            self.root = attributes.get("full-path", "")


class _Encryption(Ignore):
    def __init__(self) -> None:
        self.parts: set[str] = set()

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "CipherReference":
            self.parts.add(unquote(attributes.get("URI", "")))


class _Book(Ignore):
    """The names of its chapters, and of its table of contents."""

    def __init__(self, root: str) -> None:
        self.chapters: list[str] = []
        self.contents = ""
        self._folder = posixpath.dirname(root)
        self._parts: dict[str, str] = {}

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "item":
            part = _part(self._folder, attributes.get("href", ""))
            self._parts[attributes.get("id", "")] = part
            if attributes.get("media-type") in CONTENTS_TYPES:
                self.contents = part
        elif name == "itemref" and attributes.get("idref") in self._parts:
            self.chapters.append(self._parts[attributes["idref"]])


class _Labels(Ignore):
    """What the table of contents calls each part."""

    def __init__(self, contents: str) -> None:
        self.found: dict[str, str] = {}
        self._folder = posixpath.dirname(contents)
        self._label: list[str] = []
        self._is_label = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "navLabel":
            self._label = []
        elif name == "text":
            self._is_label = True
        elif name == "content":
            self.found.setdefault(_part(self._folder, attributes.get("src", "")), tidy("".join(self._label)))

    def end(self, name: str) -> None:
        if name == "text":
            self._is_label = False

    def text(self, data: str) -> None:
        if self._is_label:
            self._label.append(data)


def _part(folder: str, address: str) -> str:
    return posixpath.normpath(posixpath.join(folder, unquote(urldefrag(address).url)))
