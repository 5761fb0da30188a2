"""XML that somebody else wrote, as plain elements: no entities, no document types with content, bounded in every way.

The parser is expat, which resolves nothing by itself; what could make a small file large (entity declarations) or reach
outside (external entities) ends the parse.
"""

from collections.abc import Iterator
from xml.parsers import expat

from keystrand.model.errors import InvalidInput

MAX_DEPTH = 100
MAX_ELEMENTS = 1_000_000


class XmlElement:
    """An element: its name without namespace, its attributes, its children, and its text before the first."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes, self.text = name, attributes, ""
        self.children: list[XmlElement] = []

    def all(self, name: str) -> Iterator["XmlElement"]:
        """Yield the children with this name."""
        return (child for child in self.children if child.name == name)

    def first(self, *path: str) -> "XmlElement | None":
        """Return the first element down `path`, or None."""
        element: XmlElement | None = self
        for name in path:
            element = next(element.all(name), None) if element else None
        return element

    def said(self, *path: str) -> str:
        """Return the text of the first element down `path`, stripped; empty where there is none."""
        element = self.first(*path)
        return element.text.strip() if element else ""


class _Builder:
    """Builds the elements as expat meets them."""

    def __init__(self) -> None:
        self._open: list[XmlElement] = []
        self._count = 0
        self.root: XmlElement | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) >= MAX_DEPTH:
            raise InvalidInput("more elements, or nested more deeply, than any report has")
        element = XmlElement(name.rpartition(" ")[2], attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        if self._open and not self._open[-1].children:
            self._open[-1].text += text


def _refuse(*_: object) -> None:
    raise InvalidInput("it declares entities, which no report needs and a trap does")


def _doctype(_: str, __: str | None, ___: str | None, has_internal_subset: int) -> None:
    if has_internal_subset:
        _refuse()


def parsed_xml(content: bytes) -> XmlElement:
    """Return the root element. Raises `InvalidInput` with line and column for what is no XML or not wanted."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _doctype
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = lambda *_: 0
    try:
        parser.Parse(content, True)  # noqa: FBT003 - expat takes it by position only
    except expat.ExpatError as error:
        raise InvalidInput(f"not XML: {expat.ErrorString(error.code)}, line {error.lineno}") from error
    except (LookupError, ValueError) as error:
        raise InvalidInput("XML in an encoding that is not known, or not read", hint="write it in UTF-8") from error
    if builder.root is None:
        raise InvalidInput("XML without an element")
    return builder.root
