"""Several containers in one sandbox: what they share, and what each has to itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from code_blocks import blocks
from cwsandbox import (
    Container,
    ContainerStatus,
    Sandbox,
    SandboxFailedError,
    SandboxFileError,
    SandboxNotRunningError,
    SandboxStatus,
    SandboxValidationError,
)
from integration import host
from integration.env import eventually

SMALL = {"cpu": "100m", "memory": "64Mi"}

# Answers each connection with one line of its own log.
SERVER = """
import socket
server = socket.create_server(("127.0.0.1", 80))
print("listening", flush=True)
while True:
    connection = server.accept()[0]
    print("connected", flush=True)
    connection.sendall(b"from the server")
    connection.close()
"""
CLIENT = """
import socket
print(socket.create_connection(("127.0.0.1", 80)).recv(100).decode())
"""


def container(name: str, *argv: str, **options: Any) -> Container:
    words = argv or ("sleep", "infinity")
    fields: dict[str, Any] = {
        "image": "any",
        "resources": SMALL,
        "command": words[0],
        "args": words[1:],
    }
    return Container(name=name, **(fields | options))


def status(sandbox: Sandbox, name: str) -> ContainerStatus:
    sandbox.get_status()
    [one] = [row for row in sandbox.container_statuses if row.name == name]
    return one


def ended(sandbox: Sandbox, name: str) -> ContainerStatus:
    final = (SandboxStatus.COMPLETED, SandboxStatus.FAILED, SandboxStatus.TERMINATED)
    eventually(lambda: status(sandbox, name).state in final, f"{name} has ended")
    return status(sandbox, name)


def test_they_talk_over_loopback(base_url: str) -> None:
    rows = [
        container("web", primary=True),
        container("server", "python3", "-c", SERVER),
    ]
    with Sandbox.run(containers=rows) as sandbox:
        logs = sandbox.stream_logs(container="server", follow=True)
        assert next(logs) == "listening\n"
        result = sandbox.exec(["python3", "-c", CLIENT], container="web").result()
        assert result.stdout == "from the server\n"
        assert next(logs) == "connected\n"
        logs.close()
        assert list(sandbox.stream_logs()) == []


def test_each_has_its_own(base_url: str) -> None:
    rows = [
        container("a", environment_variables={"NAME": "first"}, working_dir="/srv/a"),
        container(
            "b", primary=True, mounted_files=[{"mount_path": "/etc/b.conf", "file_content": b"b"}]
        ),
    ]
    with Sandbox.run(containers=rows) as sandbox:

        def sh(script: str, name: str) -> str:
            return sandbox.exec(["sh", "-c", script], container=name).result().stdout

        assert sh("echo $NAME; pwd", "a") == "first\n/srv/a\n"
        assert sh("echo $NAME; pwd", "b") == "\n/\n"
        assert sh("cat /etc/b.conf", "b") == sh("cat /etc/b.conf", "") == "b"
        assert sh("cat /etc/b.conf", "a") == ""
        sandbox.write_file("/tmp/file", b"in a", container="a").result()
        assert sandbox.read_file("/tmp/file", container="a").result() == b"in a"
        for name in ("b", None):
            with pytest.raises(SandboxFileError):
                sandbox.read_file("/tmp/file", container=name).result()
        # Only its own processes: the main command of the other is not there.
        assert "infinity" in sh("cat /proc/[0-9]*/cmdline", "a")
        assert "hour" not in sh("cat /proc/[0-9]*/cmdline", "a")


def test_a_terminal_in_one(base_url: str) -> None:
    rows = [container("a", primary=True), container("b", working_dir="/srv")]
    with Sandbox.run(containers=rows) as sandbox:
        session = sandbox.shell(["sh", "-c", "tty; pwd"], container="b")
        text = b"".join(session.output).decode()
        assert session.wait() == 0
        assert text.split() == ["/dev/pts/0", "/srv"]


def test_the_echo(base_url: str) -> None:
    rows = [container("a"), container("b", primary=True), container("c", "true")]
    with Sandbox.run(containers=rows) as sandbox:
        sandbox.wait()
        assert [(row.name, row.primary) for row in sandbox.containers] == [
            ("a", False),
            ("b", True),
            ("c", False),
        ]
        assert ended(sandbox, "c").exit_code == 0
        assert [row.state for row in sandbox.container_statuses] == [
            SandboxStatus.RUNNING,
            SandboxStatus.RUNNING,
            SandboxStatus.COMPLETED,
        ]
        assert sandbox.sandbox_id
        found = Sandbox.from_id(sandbox.sandbox_id).result()
        assert [row.name for row in found.containers] == ["a", "b", "c"]


def test_an_only_container_is_called_main(sandbox: Sandbox) -> None:
    sandbox.get_status()
    assert [(row.name, row.primary) for row in sandbox.containers] == [("main", True)]
    assert [row.name for row in sandbox.container_statuses] == ["main"]
    assert sandbox.exec(["true"], container="main").result().returncode == 0


def test_an_unknown_name(base_url: str) -> None:
    rows = [container("a", primary=True), container("b")]
    with Sandbox.run(containers=rows) as sandbox:
        calls: dict[str, Callable[[], object]] = {
            "exec": lambda: sandbox.exec(["true"], container="c").result(),
            "read": lambda: sandbox.read_file("/etc/hostname", container="c").result(),
            "write": lambda: sandbox.write_file("/tmp/x", b"", container="c").result(),
            "logs": lambda: list(sandbox.stream_logs(container="c")),
        }
        for call in calls.values():
            with pytest.raises(SandboxValidationError, match=r'"c" is not in .*"a", "b"'):
                call()
        assert sandbox.exec(["ls", "/tmp"]).result().stdout == ""


def test_a_sidecar_ends_and_the_sandbox_goes_on(base_url: str) -> None:
    rows = [container("a", primary=True), container("b", "sh", "-c", "read -r _ < /dev/zero")]
    with Sandbox.run(containers=rows) as sandbox:
        with suppress(SandboxNotRunningError):  # it may end with its container before it has ended
            sandbox.exec(["kill", "1"], container="b").result()
        assert ended(sandbox, "b").exit_code == 128 + 15
        with pytest.raises(SandboxNotRunningError, match='"b" has ended with exit code 143'):
            sandbox.exec(["true"], container="b").result()
        assert sandbox.exec(["true"]).result().returncode == 0
        assert sandbox.get_status() is SandboxStatus.RUNNING


def test_the_primary_ends_and_the_sandbox_with_it(base_url: str) -> None:
    mark = host.Mark()
    variables = {"MARK": mark.value}
    told = 'trap "echo told; exit 0" TERM; echo ready; while :; do sleep 0.01; done'
    until = "until [ -e /tmp/end ]; do sleep 0.01; done"
    rows = [
        container("a", environment_variables=variables),
        container("b", "sh", "-c", until, primary=True),
        container("c", "sh", "-c", told, environment_variables=variables),
    ]
    sandbox = Sandbox.run(containers=rows)
    sandbox.wait()
    logs = sandbox.stream_logs(container="c", follow=True)
    assert next(logs) == "ready\n"
    with suppress(SandboxNotRunningError):  # it may end with the sandbox
        sandbox.exec(["touch", "/tmp/end"]).result()
    assert sandbox.wait_until_complete(timeout=30).result().returncode == 0
    assert list(logs) == ["told\n"]
    assert ended(sandbox, "a").state is SandboxStatus.TERMINATED
    assert ended(sandbox, "b").state is SandboxStatus.COMPLETED
    assert ended(sandbox, "c").state is SandboxStatus.COMPLETED
    assert mark.pids() == []


def test_stop_ends_all(base_url: str) -> None:
    mark = host.Mark()
    deaf = ("sh", "-c", 'trap "" TERM; echo deaf; while :; do sleep 0.01; done')
    rows = [
        container(name, *deaf, primary=name == "a", environment_variables={"MARK": mark.value})
        for name in ("a", "b", "c")
    ]
    sandbox = Sandbox.run(containers=rows)
    for name in ("a", "b", "c"):
        assert next(sandbox.stream_logs(container=name, follow=True)) == "deaf\n"
    assert len(mark.pids()) >= 3
    sandbox.stop(graceful_shutdown_seconds=0.2).result()
    eventually(lambda: sandbox.get_status() is SandboxStatus.TERMINATED, "it has ended")
    assert {row.exit_code for row in sandbox.container_statuses} == {128 + 9}
    assert mark.pids() == []


def test_one_that_cannot_be_executed(base_url: str) -> None:
    rows = [container("a", primary=True), container("b", "/no/such/program")]
    sandbox = Sandbox.run(containers=rows)
    with pytest.raises(SandboxFailedError, match=r"container b: .*/no/such/program"):
        sandbox.wait()


def test_sandboxes_do_not_reach_each_other(base_url: str) -> None:
    rows = [container("web", primary=True), container("server", "python3", "-c", SERVER)]
    with Sandbox.run(containers=rows) as one, Sandbox.run(containers=rows[:1]) as other:
        assert next(one.stream_logs(container="server", follow=True)) == "listening\n"
        result = other.exec(["python3", "-c", CLIENT]).result()
        assert "ConnectionRefusedError" in result.stderr


def test_a_mounted_script_can_be_executed(base_url: str) -> None:
    files = [
        {"mount_path": "/opt/hello", "file_content": "#!/bin/sh\necho hello\n", "file_mode": 0o755},
        {"mount_path": "/opt/plain", "file_content": "x"},
        {"mount_path": "/opt/closed", "file_content": "x", "file_mode": 0},
    ]
    with Sandbox.run(mounted_files=files) as sandbox:
        assert sandbox.exec(["/opt/hello"]).result().stdout == "hello\n"
        listed = sandbox.exec(["stat", "-c", "%a", "/opt/hello", "/opt/plain", "/opt/closed"])
        assert listed.result().stdout == "755\n444\n0\n"
        assert sandbox.exec(["chmod", "644", "/opt/hello"]).result().returncode != 0
        (row,) = sandbox.containers
        echoed = [(file["mount_path"], file.get("file_mode")) for file in row.mounted_files or ()]
        assert echoed == [("/opt/hello", 0o755), ("/opt/plain", None), ("/opt/closed", 0)]


def test_the_guide(base_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks("docs/guide/containers.md", count=1)
    exec(compile(example, "containers.md", "exec"), {})
    hostname, *listed = capsys.readouterr().out.split()
    assert hostname
    assert {"usr", "tmp"} <= set(listed)
