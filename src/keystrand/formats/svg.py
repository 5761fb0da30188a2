"""The few SVG elements that the charts are drawn with: text, shapes, patterns. Colours are classes of the page."""

from collections.abc import Sequence
from html import escape

SIZE = 14
"""Font size in user units: at A4 width the page shrinks drawings by about a quarter, to some 8 pt."""
_WIDTH_PER_SIZE = 0.56
"""Mean width of a character over the font size: a cautious figure for the usual sans-serif faces."""


def fitting(text: str, width: float, size: float = SIZE) -> str:
    """Return `text`, cut with an ellipsis where it would be wider than `width` user units."""
    most = max(int(width / (size * _WIDTH_PER_SIZE)), 4)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def wrapped(text: str, width: float, lines: int = 2, size: float = SIZE) -> list[str]:
    """Return `text` in at most `lines` lines no wider than `width`; the last one is cut where there is more."""
    most = max(int(width / (size * _WIDTH_PER_SIZE)), 4)
    made = [""]
    words = text.split()
    for n, word in enumerate(words):
        longer = f"{made[-1]} {word}".strip()
        if len(longer) <= most or not made[-1]:
            made[-1] = longer
        elif len(made) == lines:
            made[-1] = " ".join([made[-1], *words[n:]])
            break
        else:
            made.append(word)
    return [fitting(line, width, size) for line in made]


def text(x: float, y: float, content: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text with its baseline at (`x`, `y`); `kind` is a class of the page."""
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(content)}</text>'


def rect(x: float, y: float, width: float, height: float, kind: str, hint: str = "") -> str:
    """Return a rectangle; `hint` becomes its title, which browsers show under the pointer."""
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" class="{kind}"'
    return f"{shape}><title>{escape(hint)}</title></rect>" if hint else f"{shape}/>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def hatch(key: str, kind: str) -> str:
    """Return a pattern of slanted lines, to be used as `url(#key)`: the same meaning without colour."""
    return (
        f'<pattern id="{key}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="6" height="6" class="paper"/><rect width="3" height="6" class="{kind}"/></pattern>'
    )


def dots(key: str, kind: str) -> str:
    """Return a pattern of dots, to be used as `url(#key)`."""
    return (
        f'<pattern id="{key}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<rect width="6" height="6" class="paper"/><circle cx="3" cy="3" r="1.4" class="{kind}"/></pattern>'
    )


def drawing(
    key: str, width: float, height: float, title: str, body: Sequence[str], patterns: Sequence[str] = ()
) -> str:
    """Return the whole SVG element. `title` is what a screen reader says; the figures are in the table beside it."""
    defs = f"<defs>{''.join(patterns)}</defs>" if patterns else ""
    return (
        f'<svg id="{key}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="{key}-title">'
        f'<title id="{key}-title">{escape(title)}</title>{defs}{"".join(body)}</svg>'
    )


def nice_step(most: float, steps: int = 5) -> float:
    """Return a round step (1, 2 or 5 times a power of ten) that covers `most` in at most `steps` steps."""
    step = 1e-9
    while True:
        for factor in (1, 2, 5):
            if step * factor * steps >= most:
                return step * factor
        step *= 10
