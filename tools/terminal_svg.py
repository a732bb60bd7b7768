"""Terminal windows as an SVG picture, from text with the escape sequences of colours in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

LINE_HEIGHT = 20
CHARACTER_WIDTH = 8.4
MARGIN = 20
TITLE_HEIGHT = 34
GAP = 12
PLAIN = "#e6e6e6"
_BASIC = ("#484f58", "#ff7b72", "#7ee787", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#e6e6e6")
_LEVELS = (0, 95, 135, 175, 215, 255)
_COLOURS = re.compile(r"\x1b\[([0-9;]*)m")


def picture(windows: Sequence[Sequence[str]], label: str) -> str:
    """The windows, one below the other, each a list of lines."""
    columns = max(len(_COLOURS.sub("", line)) for lines in windows for line in lines)
    width = round(columns * CHARACTER_WIDTH + 2 * MARGIN)
    parts: list[str] = []
    top = 0
    for lines in windows:
        parts += _window(lines, top, width)
        top += _height(lines) + GAP
    height = top - GAP
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" xml:space="preserve" aria-label={quoteattr(label)}>',
            "<style>text { font: 14px ui-monospace, Menlo, Consolas, monospace; "
            f"fill: {PLAIN} }}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )


def _height(lines: Sequence[str]) -> int:
    return TITLE_HEIGHT + len(lines) * LINE_HEIGHT + MARGIN


def _window(lines: Sequence[str], top: int, width: int) -> Iterator[str]:
    yield f'<rect y="{top}" width="{width}" height="{_height(lines)}" rx="8" fill="#161b22"/>'
    for n, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")):
        yield f'<circle cx="{MARGIN + 18 * n}" cy="{top + 18}" r="6" fill="{colour}"/>'
    for n, line in enumerate(lines):
        y = top + TITLE_HEIGHT + (n + 1) * LINE_HEIGHT - 6
        for column, text, style in _runs(line):
            x = round(MARGIN + column * CHARACTER_WIDTH, 1)
            yield f'<text x="{x:g}" y="{y}"{style}>{escape(text)}</text>'


def _runs(line: str) -> Iterator[tuple[int, str, str]]:
    """The parts of a line that look alike: where each begins, its text, and how it looks."""
    column, colour, is_bold = 0, PLAIN, False
    pieces = _COLOURS.split(line)
    for n, piece in enumerate(pieces):
        if n % 2:
            colour, is_bold = _look(piece, colour, is_bold)
        elif piece:
            looks = [f"fill: {colour}"] if colour != PLAIN else []
            looks += ["font-weight: bold"] if is_bold else []
            yield column, piece, f' style="{"; ".join(looks)}"' if looks else ""
            column += len(piece)


def _look(sequence: str, colour: str, is_bold: bool) -> tuple[str, bool]:
    codes = [int(code or 0) for code in sequence.split(";")]
    if codes[:2] == [38, 5]:
        return _of_256(codes[2]), is_bold
    for code in codes:
        if code == 0:
            colour, is_bold = PLAIN, False
        elif code == 1:
            is_bold = True
        elif code == 39:
            colour = PLAIN
        elif 30 <= code <= 37:
            colour = _BASIC[code - 30]
    return colour, is_bold


def _of_256(number: int) -> str:
    if number < 16:
        return _BASIC[number % 8]
    if number >= 232:
        return "#" + f"{8 + 10 * (number - 232):02x}" * 3
    cube = number - 16
    return "#" + "".join(f"{_LEVELS[cube // step % 6]:02x}" for step in (36, 6, 1))
