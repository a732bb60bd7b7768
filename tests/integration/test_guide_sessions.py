"""The examples of docs/guide/sessions.md and cleanup.md, as they stand there, each in a Python of its own."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox
from isolated.runner import run

ROOT = Path(__file__).parents[2]
BLOCKS = {
    "sessions": blocks("docs/guide/sessions.md", count=4),
    "cleanup": blocks("docs/guide/cleanup.md", count=1),
}
PRINTED = {
    ("sessions", 0): "test 0\ntest 1\ntest 2\n",
    ("sessions", 1): "[0, 0, 0]\n",
    ("sessions", 2): "True\n[]\n",
    ("sessions", 3): "3 1\n",
    ("cleanup", 0): "at work\nleft to be stopped: 0\n<Session sandboxes=0 status=closed>\n",
}


def test_there_are_examples() -> None:
    assert {(name, n) for name, found in BLOCKS.items() for n in range(len(found))} == set(PRINTED)


def check(program: str, base_url: str, printed: str) -> None:
    done = run(program, CWSANDBOX_BASE_URL=base_url)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
    assert Sandbox.list().result() == []


@pytest.mark.parametrize(("name", "number"), PRINTED)
def test_they_print_what_they_say(own_daemon: str, name: str, number: int) -> None:
    program = BLOCKS[name][number]
    if "await " in program:
        head, _, body = program.partition("\n\n")
        program = f"{head}\nasync def main():\n{textwrap.indent(body, '    ')}\nasyncio.run(main())"
    check(program, own_daemon, PRINTED[name, number])


def test_the_example_of_the_end(own_daemon: str) -> None:
    """It ends its process, so it has one."""
    program = (ROOT / "examples" / "cleanup.py").read_text()
    check(program, own_daemon, "at work\nSIGTERM: 0 sandboxes are left\n")


def test_the_example_of_an_end_in_its_own_way(own_daemon: str) -> None:
    program = (ROOT / "examples" / "cleanup_async.py").read_text()
    done = "job 1 is whole\njob 2 is whole\n2 jobs done, 0 sandboxes are left\n"
    check(program, own_daemon, done)
