"""Draws docs/demo.svg from what the quick start really prints.

CWSANDBOX_BASE_URL=local python examples/quickstart.py | python tools/render_demo.py > docs/demo.svg
"""

from __future__ import annotations

import sys
from xml.sax.saxutils import escape

COMMAND = "CWSANDBOX_BASE_URL=local python examples/quickstart.py"
LINE_HEIGHT = 20
CHARACTER_WIDTH = 8.4
MARGIN = 20
TITLE_HEIGHT = 34


def render(output: str) -> str:
    lines = [f"$ {COMMAND}", *output.rstrip("\n").split("\n")]
    width = round(max(len(line) for line in lines) * CHARACTER_WIDTH + 2 * MARGIN)
    height = TITLE_HEIGHT + len(lines) * LINE_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-label="Output of the quick start">',
        "<style>text { font: 14px ui-monospace, Menlo, Consolas, monospace; fill: #e6e6e6; "
        "white-space: pre } .command { fill: #7ee787 } .heading { fill: #79c0ff }</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#161b22"/>',
    ]
    for n, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f")):
        parts.append(f'<circle cx="{MARGIN + 18 * n}" cy="18" r="6" fill="{colour}"/>')
    for n, line in enumerate(lines):
        kind = "command" if n == 0 else "heading" if line.startswith("-- ") else "output"
        y = TITLE_HEIGHT + (n + 1) * LINE_HEIGHT - 6
        parts.append(f'<text class="{kind}" x="{MARGIN}" y="{y}">{escape(line)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    sys.stdout.write(render(sys.stdin.read()))
