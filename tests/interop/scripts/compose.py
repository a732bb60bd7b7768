"""Compose files with the published SDK. It is imported here, so nothing of ours may be."""

from __future__ import annotations

import sys

from cwsandbox import Sandbox, SandboxError

FILE = b"""
services:
  web:
    image: nginx
    command: sleep infinity
    environment: {WHO: web}
  db:
    image: redis
    entrypoint: ["sh", "-c"]
    command: ["echo hello from $$WHO; sleep infinity"]
    environment: ["WHO=db"]
    expose: [6379]
"""


def everything() -> None:
    sandbox = Sandbox.run_from_file(FILE, primary_service="web", tags=["compose"])
    with sandbox:
        sandbox.wait()
        assert [(one.name, one.primary) for one in sandbox.containers] == [
            ("web", True),
            ("db", False),
        ]
        script = ["sh", "-c", "echo $WHO; getent hosts db"]
        said = sandbox.exec(script).result().stdout.split()
        assert said[:2] == ["web", "127.0.0.1"], said
        assert sandbox.exec(script, container="db").result().stdout.startswith("db\n")
        log = sandbox.stream_logs(follow=True, container="db")
        assert next(iter(log)) == "hello from db\n"
        log.close()


def refused() -> None:
    wrong = FILE.replace(b"image: redis", b"image: redis\n    privileged: true")
    text = ""
    try:
        Sandbox.run_from_file(wrong, primary_service="web")
    except SandboxError as error:
        text = str(error)
    assert "services.db.privileged (line 9)" in text, text


globals()[sys.argv[1]]()
