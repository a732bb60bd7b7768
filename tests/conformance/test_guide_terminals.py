"""The examples of docs/guide/terminals.md, as they stand there, and those of terminals in examples/.

The service runs programs of this host.
"""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from conformance.grpc_peer import GrpcPeer
from conformance.host_programs import serve_programs

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "terminals.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
LAST_LINES = ["3", "0"]
PRINTED = {
    "terminal": (
        "> stty size\n30 100\n> stty size\n24 80\n"
        "> sh -c 'echo busy; exec sleep 1000'\nbusy\n^C\n> exit 3\nexit code 3\n"
    ),
    "terminal_async": "24 80\n43 132\n",
}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == len(LAST_LINES)


@pytest.mark.parametrize("number", range(len(LAST_LINES)))
def test_they_print_what_they_say(
    grpc_peer: GrpcPeer, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_programs(grpc_peer, "/bin/bash", "python3")
    exec(compile(EXAMPLES[number], str(GUIDE), "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == LAST_LINES[number]
    if number == 1:
        assert "42" in printed


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_example(grpc_peer: GrpcPeer, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    serve_programs(grpc_peer, "/bin/sh")
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
    assert capsys.readouterr().out == PRINTED[name]
