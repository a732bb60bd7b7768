"""Draws docs/demo.svg from what the quick start really prints.

CWSANDBOX_BASE_URL=local python examples/quickstart.py | python tools/render_demo.py > docs/demo.svg
"""

from __future__ import annotations

import sys

from terminal_svg import picture

COMMAND = "CWSANDBOX_BASE_URL=local python examples/quickstart.py"
GREEN, BLUE = "\x1b[32m", "\x1b[34m"


def render(output: str) -> str:
    lines = output.rstrip("\n").split("\n")
    shown = [(BLUE if line.startswith("-- ") else "") + line for line in lines]
    return picture([[f"{GREEN}$ {COMMAND}", *shown]], "Output of the quick start")


if __name__ == "__main__":
    sys.stdout.write(render(sys.stdin.read()))
