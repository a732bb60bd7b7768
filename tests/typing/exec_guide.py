"""What a type checker makes of programs as the guide writes them. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, assert_type

import cwsandbox
from cwsandbox import (
    AuthHeaders,
    AuthProvider,
    AuthStrategy,
    NetworkOptions,
    OperationRef,
    Process,
    ProcessResult,
    Sandbox,
    SandboxDefaults,
    SandboxExecutionError,
    SandboxStatus,
    SandboxTimeoutError,
    Secret,
    Service,
    StreamReader,
    StreamWriter,
    TerminalResult,
    TerminalSession,
)


def basic() -> None:
    with Sandbox.run() as sandbox:
        assert_type(sandbox, Sandbox)
        process = sandbox.exec(
            ["echo", "Hello, World!"], cwd="/app", check=True, timeout_seconds=5.0
        )
        assert_type(process, Process)
        result = process.result()
        assert_type(result, ProcessResult)
        assert_type(result.stdout, str)
        assert_type(result.stdout_bytes, bytes)
        assert_type(result.returncode, int)
        assert_type(result.command, list[str])


def streams(process: Process) -> None:
    assert_type(process.stdout, StreamReader[str])
    for line in process.stdout:
        assert_type(line, str)
    assert_type(process.poll(), int | None)
    assert_type(process.wait(timeout=1), int)
    assert_type(process.returncode, int | None)
    assert_type(process.cancel(), bool)
    for text in process.stdout.chunks():
        assert_type(text, str)


def kept(sandbox: Sandbox) -> None:
    process = sandbox.exec(["env"], env={"A": "1"}, capture_output=False)
    assert_type(process, Process)
    result = sandbox.exec(["seq", "9"], max_output_bytes=4096).result()
    assert_type(result.stdout_omitted_bytes, int)
    assert_type(result.stderr_omitted_bytes, int)
    assert_type(result.output_captured, bool)
    sandbox.exec(["seq", "9"], max_output_bytes="4k")  # type: ignore[arg-type]
    sandbox.exec(["env"], env={"A": 1})  # type: ignore[dict-item]


def stdin(sandbox: Sandbox) -> None:
    process = sandbox.exec(["cat"], stdin=True)
    written: OperationRef[None] = process.stdin.write(b"data")
    written.result()
    process.stdin.writeline("text").result()
    process.stdin.close().result()
    process.stdin.write(5)  # type: ignore[arg-type]
    process.stdin.send(b"data")  # type: ignore[union-attr]
    process = sandbox.exec(["true"])
    processes: list[Process] = [process, sandbox.exec(["cat"], stdin=True)]
    assert_type(processes[0].stdin, StreamWriter | Any)


def stdin_that_may_be_missing(process: Process) -> StreamWriter:
    writer: StreamWriter | None = process.stdin
    if writer is None:
        raise ValueError("start it with stdin=True")
    assert_type(writer, StreamWriter)
    assert process.stdin is not None
    process.stdin.close().result()
    return process.stdin


async def asynchronous() -> None:
    async with Sandbox.run() as sandbox:
        assert_type(sandbox, Sandbox)
        process = sandbox.exec(["cat"], stdin=True)
        async for line in process.stdout:
            assert_type(line, str)
        async for text in process.stdout.chunks():
            assert_type(text, str)
        await process.stdin.write(b"data")
        assert_type(await process, ProcessResult)
    assert_type(await Sandbox(), Sandbox)
    assert_type(await Sandbox.list(), list[Sandbox])
    assert_type(await sandbox.wait_until_complete(), Sandbox)


def waiting(processes: list[Process], mixed: Sequence[Sandbox | Process]) -> None:
    done, pending = cwsandbox.wait(processes, num_returns=2)
    assert_type(done, list[Process])
    assert_type(pending[0].result().stdout, str)
    assert_type(cwsandbox.wait(mixed)[0], list[Sandbox | Process])
    assert_type(cwsandbox.results(processes[0]), ProcessResult)
    assert_type(cwsandbox.results(processes), list[ProcessResult])


def life() -> None:
    sandbox = Sandbox(
        command="sleep",
        args=["60"],
        defaults=SandboxDefaults.from_dict({"tags": ["a"]}),
        network={"deny_egress": True},
        services=[Service(port=80)],
        secrets=[Secret(store="s", name="A"), {"store": "s", "name": "B"}],
        placement_mode="cks",
    )
    assert_type(sandbox.start(), OperationRef[None])
    assert_type(sandbox.wait(), Sandbox)
    assert_type(sandbox.stop(graceful_shutdown_seconds=1), OperationRef[None])
    assert_type(sandbox.get_status(), SandboxStatus)
    assert_type(sandbox.status, SandboxStatus | None)
    assert_type(sandbox.sandbox_id, str | None)
    assert_type(sandbox.started_at, datetime | None)
    assert_type(sandbox.exec_stats, dict[str, int])
    assert_type(Sandbox.from_id("sb-1").result(), Sandbox)
    assert_type(Sandbox.delete("sb-1", missing_ok=True).result(), None)
    Sandbox.run("echo", "a", network=NetworkOptions(egress=[{"dns_name": "pypi.org"}]))


class Vault:
    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        return AuthHeaders({"x-key": base_url}, "vault")


def credentials() -> None:
    provider: AuthProvider = Vault()
    for auth in (provider, AuthStrategy.COREWEAVE_API_KEY, AuthHeaders({}, "none")):
        Sandbox(auth=auth)
    cwsandbox.set_auth_mode("vault", lambda: Vault().resolve_auth(base_url=""))


def errors(sandbox: Sandbox) -> None:
    try:
        sandbox.exec(["false"], check=True).result()
    except SandboxExecutionError as error:
        assert_type(error.exec_result, ProcessResult | None)
        assert_type(error.reason, str | None)
    except SandboxTimeoutError as error:
        assert_type(error.exec_result, ProcessResult | None)


def refused(sandbox: Sandbox, anything: Any) -> None:
    sandbox.exec("echo hi", cwd=5)  # type: ignore[arg-type]
    sandbox.exec(["ls"], tty=True)  # type: ignore[call-arg]
    Sandbox(unknown=anything)  # type: ignore[call-arg]
    Sandbox(defaults={"tags": ["a"]})  # type: ignore[arg-type]
    cwsandbox.wait([1])  # type: ignore[type-var]
    cwsandbox.no_such_name  # type: ignore[attr-defined]  # noqa: B018


async def terminals(sandbox: Sandbox) -> None:
    with sandbox.shell() as session:
        assert_type(session, TerminalSession)
        assert_type(session.output, StreamReader[bytes])
        assert_type(session.write(b"exit\n"), OperationRef[None])
        session.resize(80, 24)
        assert_type(list(session.output), list[bytes])
        assert_type(session.result(), TerminalResult)
        assert_type(session.wait(timeout=1.0), int)
    async with sandbox.shell(["sh"], width=80, height=24, container="side") as another:
        assert_type(another, TerminalSession)
        assert_type(await anext(another.output), bytes)
        assert_type(await another, TerminalResult)
        assert_type(another.returncode, int | None)
