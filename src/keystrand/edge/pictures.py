"""A chart as a file: SVG as it is, or PNG drawn from it by resvg (extra `png`)."""

from html import escape
from pathlib import Path

from keystrand.edge.files import write_atomic
from keystrand.formats.charts_curves import FONT
from keystrand.model.errors import InvalidInput

_NO_WORD = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"/>'
_WORD = _NO_WORD.replace("/>", f'><text y="15" style="font:{escape(FONT)}">km</text></svg>')
"""A chart drawn without fonts would lack all its words, and nobody would be told."""


def write_chart(path: Path, svg: str) -> None:
    """Write `svg` to `path` as its ending says, .svg or .png, whole or not at all.

    Raises `InvalidInput` for another ending or without what PNG needs, `StoreFailure` where it cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".svg":
        write_atomic(path, svg.encode())
    elif ending == ".png":
        write_atomic(path, _png(svg))
    else:
        raise InvalidInput(f"a chart is written as .svg or .png, not as {path.name!r}", hint="give another file name")


def _png(svg: str) -> bytes:
    try:
        from resvg_py import svg_to_bytes  # noqa: PLC0415 (an extra, which may be absent)
    except ImportError as error:
        raise InvalidInput("PNG needs the extra 'png'", hint="pip install 'keystrand[png]', or write .svg") from error
    if svg_to_bytes(svg_string=_WORD) == svg_to_bytes(svg_string=_NO_WORD):
        raise InvalidInput("this machine has no font to draw letters with", hint="install one, or write .svg")
    return bytes(svg_to_bytes(svg_string=svg, zoom=2))
