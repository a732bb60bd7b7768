"""Several containers with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys

from cwsandbox import Container, Sandbox, SandboxError

SMALL = {"cpu": "100m", "memory": "64Mi"}
SERVER = (
    "import socket\n"
    "server = socket.create_server(('127.0.0.1', 80))\n"
    "print('ready', flush=True)\n"
    "while True:\n"
    " connection = server.accept()[0]\n"
    " connection.sendall(b'42')\n"
    " connection.close()\n"
)
ASK = "import socket; print(socket.create_connection(('127.0.0.1', 80)).recv(9).decode())"


def rows() -> list[Container]:
    server = ["-c", SERVER]
    return [
        Container(name="web", image="any", primary=True, resources=SMALL),
        Container(name="server", image="any", command="python3", args=server, resources=SMALL),
    ]


def everything() -> None:
    with Sandbox.run(containers=rows()) as sandbox:
        sandbox.wait()
        assert [(one.name, one.primary) for one in sandbox.containers] == [
            ("web", True),
            ("server", False),
        ]
        assert [one.name for one in sandbox.container_statuses] == ["web", "server"]
        log = sandbox.stream_logs(follow=True, container="server")
        assert next(iter(log)) == "ready\n"
        log.close()
        asked = sandbox.exec(["python3", "-c", ASK]).result()
        assert asked.stdout == "42\n", asked
        sandbox.write_file("/tmp/note", b"here", container="server").result()
        assert sandbox.read_file("/tmp/note", container="server").result() == b"here"
        assert sandbox.exec(["ls", "/tmp"]).result().stdout == ""
        session = sandbox.shell(["sh", "-c", "ls /tmp"], container="server")
        assert b"note" in b"".join(session.output)
        session.result()


def unknown() -> None:
    with Sandbox.run(containers=rows()) as sandbox:
        for call in (
            lambda: sandbox.exec(["true"], container="cache").result(),
            lambda: sandbox.read_file("/etc/hostname", container="cache").result(),
        ):
            text = ""
            try:
                call()
            except SandboxError as error:
                text = str(error)
            assert '"cache" is not in' in text, text


def only() -> None:
    with Sandbox.run(container_image="any") as sandbox:
        sandbox.wait()
        assert [(one.name, one.primary) for one in sandbox.containers] == [("main", True)]


globals()[sys.argv[1]]()
