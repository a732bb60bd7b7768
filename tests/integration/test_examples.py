"""Each program in examples/ runs against the daemon and prints what it is meant to show."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = EXAMPLES.parent / "docs" / "examples.md"

PRINTED = {
    "bounded_output": "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n99998\n99999\n100000\n\n(588855 bytes omitted)\n",
    "compose": "['tests', 'web']\nweb answers: 127.0.0.1\nin web\n",
    "compose_async": "store: ready\ntests: hello from the store\n",
    "containers_async": "part 1\npart 2\npart 3\nexit codes 0 0\n",
    "containers": (
        "ready\n42\nasked\nmain []\nserver ['note']\n{'main': 'running', 'server': 'running'}\n"
    ),
    "credentials_async": "['hello, Ada', 'hello, Grace']\nasked: True\n",
    "credentials": (
        "let in\nrunners: 1\nauth header 'Authorization' must be printable ASCII text; "
        "a line break at the end of the key is a usual cause\n"
    ),
    "discovery_async": "at work\nours: True\nknown: True\n",
    "discovery": (
        "runners with room: 1\narchitecture known: True\nplaced as asked: True\n"
        "sandboxes run there: True\n"
    ),
    "egress_async": (
        "none: ()\none host: not on this service (cwsandboxd does with --egress)\nnot denied: ()\n"
    ),
    "egress": (
        "no sandbox of this service reaches other networks (cwsandboxd does with --egress)\n"
    ),
    "environment": "production eu s3cret\ntest eu \n",
    "evaluation": (
        "first run: {'broken': 'False', 'endless': 'timeout', 'right': 'True', 'wrong': 'False'}\n"
        "1 resolved; 0 were done before\n"
        "second run: {'broken': 'False', 'endless': 'timeout', 'right': 'True', 'wrong': 'False'}\n"
        "1 resolved; 4 were done before\n"
    ),
    "evaluation_async": (
        "alpha: leaves beta gamma\nbeta: leaves alpha gamma\ndelta: not there\n"
        "[('sum-0', '0'), ('sum-1', '2'), ('sum-2', '4'), ('sum-3', '6'), ('sum-4', '8'), ('sum-5', '10')]\n"
    ),
    "files": "['1', '2', '3']\nTrue\n/work/missing: CWSANDBOX_FILE_NOT_FOUND\n",
    "files_async": "/work/part-042\n10427 bytes\n",
    "follow_output": (
        "reached 1000405\nexit code None\n"
        "-- without a reader the output is dropped, and the result says so\n"
        "exit code 0, captured: False\n6888896 bytes went by\n"
    ),
    "logs": ("step 1\nstep 2\nstep 3\nno such input\nexit code 3\nlast line: no such input\n"),
    "logs_async": "".join(f"{n} 1\n{n} 2\n{n} 3\n" for n in ("one", "two", "three")),
    "opentelemetry_spans": "true: exit code 0, UNSET\nsh: exit code 3, ERROR\n",
    "quickstart_async": (
        "Hello from a sandbox!\n1 + 1 = 2\n20 + 20 = 40\n300 + 300 = 600\nexit code 0\n"
        "sum of squares: 328350\ntoo slow\n"
    ),
    "remote_functions": (
        '["red", "6 points"]\n'
        '[\'["blue", "4 points"]\', \'["green", "11 points"]\']\n'
        "adding for here: printed where it runs, and no part of the result\n"
        '["here", "7 points"]\n'
        "Team(name='red+blue', points=10)\n"
        "ZeroDivisionError: division by zero\n"
    ),
    "remote_functions_async": "25\n[95, 73, 71, 64]\nbelow ten: 4\n",
    "upload": (
        "sent 2 files, 84 bytes\ncommand\nother\nsandbox\n"
        "/tmp/project/missing: CWSANDBOX_FILE_NOT_FOUND\n"
    ),
    "upload_async": "".join(f"{name}: 1000000 bytes arrived\n" for name in ("one", "two", "three")),
    "terminal": (
        "> stty size\n30 100\n> stty size\n24 80\n"
        "> sh -c 'echo busy; exec sleep 1000'\nbusy\n^C\n> exit 3\nexit code 3\n"
    ),
    "sessions": (
        "".join(f"part {n} of the test run\n" for n in range(4))
        + "3 left to be stopped\nfound it: True\n0 sandboxes run\n"
    ),
    "sessions_async": "[4, 9, 25, 49, 121, 169]\n6 commands in 3 sandboxes\n",
    "snapshots": "[1000, 1000]\non_delete\n0 left\n",
    "snapshots_async": "[1000, 1000]\n",
    "terminal_async": "Ada has 24 80\nGrace has 43 132\n",
    "service_async": "['ONE', 'TWO']\n",
    "service": "8000 web hello from inside\n",
    "prompt": "name? Ada\ncolour? green\nAda likes green\n",
}
ELSEWHERE = {
    "quickstart",  # compared with the picture: test_readme.py
    "secrets",  # need a store: test_secrets.py
    "secrets_async",
    "cleanup",  # are sent a signal: test_guide_sessions.py
    "cleanup_async",
    "template",  # need what the command line makes: tests/cli/test_templates.py
    "template_async",
    "volumes",  # need a daemon with a directory for volumes: test_registered_volumes.py
    "volumes_async",
}

pytestmark = pytest.mark.usefixtures("base_url")


def test_none_is_left_out() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED) | ELSEWHERE
    assert (
        set(re.findall(r"\(\.\./examples/(\w+)\.py\)", PAGE.read_text()))
        == set(PRINTED) | ELSEWHERE
    )


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert capsys.readouterr().out == PRINTED[name]
