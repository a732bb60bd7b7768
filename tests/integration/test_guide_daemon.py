"""The commands of docs/daemon.md, docs/guide/settings.md and docs/shortcuts.md, in a bash, as they stand there.

What depends on the machine is replaced: the user's runtime directory, the port, and what a line's end leaves out.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from code_blocks import blocks
from integration.env import Daemon

PROGRAM = """
from cwsandbox import Sandbox
with Sandbox.run() as sandbox:
    print(sandbox.exec(["echo", "in a sandbox"]).result().stdout, end="")
"""


def bash(command: str, folder: Path, **env: str) -> subprocess.Popen[str]:
    path = f"{Daemon.binaries()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-c", f"exec {command}" if command.startswith("cwsandboxd") else command],
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@contextlib.contextmanager
def running(command: str, folder: Path, **env: str) -> Iterator[str]:
    """A daemon that a command starts, and the first line that it prints."""
    daemon = bash(f"{command} --state-dir {folder}/state", folder, **env)
    try:
        assert daemon.stdout is not None
        yield daemon.stdout.readline()
    finally:
        daemon.terminate()
        assert daemon.wait(30) == 0


def check_program(command: str, folder: Path, **env: str) -> None:
    (folder / "my_program.py").write_text(PROGRAM)
    (folder / "program.py").write_text(PROGRAM)
    with bash(command, folder, **env) as done:
        out, _ = done.communicate(timeout=40)
    assert (done.returncode, out) == (0, "in a sandbox\n")


def test_the_manual(short_folder: Path) -> None:
    (example,) = blocks("docs/daemon.md", "console", count=1)
    start, printed, use = example.replace("/run/user/1000", str(short_folder)).splitlines()
    # Where it listens by itself depends on the user.
    address = printed.partition(" listening on ")[2].partition(";")[0]
    with running(f"{start.removeprefix('$ ')} --listen {address}", short_folder) as line:
        version, _, rest = line.partition(" listening on ")
        shown, _, shown_rest = printed.partition(" listening on ")
        assert version == shown
        assert rest.startswith(shown_rest.partition(" bubblewrap")[0])
        check_program(use.removeprefix("$ "), short_folder)


def test_settings(short_folder: Path) -> None:
    (example,) = blocks("docs/guide/settings.md", "sh", count=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (short_folder / "token").write_text("0123456789abcdef0123456789abcdef\n")
    (short_folder / "token").chmod(0o600)
    example = example.replace("/run/user/1000", str(short_folder)).replace(":7000", f":{port}")
    commands = [line.partition("#")[0].strip() for line in example.splitlines()]
    addresses = [f"unix://{short_folder}/cwsandbox", f"http://127.0.0.1:{port}"]
    for command, address in zip(commands, addresses, strict=True):
        with running(command, short_folder) as line:
            assert address.removeprefix("http://") in line
            if address.startswith("unix"):
                mode = Path(address.removeprefix("unix://")).stat().st_mode
                assert f"{mode & 0o777:04o}" in example
            use = "CWSANDBOX_API_KEY=$(cat token) python program.py"
            check_program(use, short_folder, CWSANDBOX_BASE_URL=address)


def test_shortcuts(base_url: str, tmp_path: Path) -> None:
    (example,) = blocks("docs/shortcuts.md", "sh", count=1)
    check_program(example, tmp_path, CWSANDBOX_BASE_URL=base_url)
    names = re.findall(
        r"[a-z]+", example.partition("=")[2].partition(" ")[0] + example.partition("or: ")[2]
    )
    for name in names:
        check_program(
            f"CWSANDBOX_NO_SHORTCUTS={name} python program.py",
            tmp_path,
            CWSANDBOX_BASE_URL=base_url,
        )
