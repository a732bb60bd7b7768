"""The README's examples do what they say."""

from __future__ import annotations

import asyncio
import runpy
import textwrap
from pathlib import Path

import pytest

from code_blocks import blocks

ROOT = Path(__file__).parents[2]
BLOCKS = blocks("README.md", count=2)

pytestmark = pytest.mark.usefixtures("base_url")


def test_from_threads(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[0], "README.md", "exec"), {})
    assert capsys.readouterr().out == "Hello, World!\n 0\n0\n1\n2\na\nb\n\n"


def test_from_asyncio(capsys: pytest.CaptureFixture[str]) -> None:
    source = "async def main():\n" + textwrap.indent(BLOCKS[1], "    ")
    namespace: dict[str, object] = {}
    exec(compile(f"from cwsandbox import Sandbox\n{source}", "README.md", "exec"), namespace)
    asyncio.run(namespace["main"]())  # type: ignore[operator]
    assert capsys.readouterr().out == "async hello\n\n"


def test_the_picture_shows_what_the_quick_start_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runpy.run_path(str(ROOT / "examples" / "quickstart.py"))
    output = capsys.readouterr().out
    monkeypatch.syspath_prepend(ROOT / "tools")  # where a script finds its neighbours
    render = runpy.run_path(str(ROOT / "tools" / "render_demo.py"))["render"]
    assert (ROOT / "docs" / "demo.svg").read_text() == render(output)
