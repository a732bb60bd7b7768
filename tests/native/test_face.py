"""What the C types show of themselves, and that Python code may put something in the place of their methods."""

from __future__ import annotations

import asyncio
import re
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from conformance.grpc_peer import Call, GrpcPeer
from native.scripts import run_script

Sandbox = Any


@pytest.fixture(scope="module", autouse=True)
def commands(peer: GrpcPeer) -> None:
    @peer.command("exit")
    async def leave(call: Call) -> None:
        await call.exit(int(call.argv[1]))

    @peer.command("hang")
    async def hang(call: Call) -> None:
        await call.ready()
        await call.out(b"started\n")
        await asyncio.Event().wait()

    @peer.command("error")
    async def error(call: Call) -> None:
        await call.error("EXEC_FAILED", "no such command")


# ---- repr ----


def test_an_operation_says_its_state(core: ModuleType) -> None:
    promise = core.Promise()
    assert repr(promise) == "<Promise state=pending>"
    promise.set_result(1)
    assert repr(promise) == "<Promise state=done>"
    promise = core.Promise()
    promise.set_exception(ValueError("no"))
    assert repr(promise) == "<Promise state=failed>"
    promise = core.Promise()
    promise._cancel()
    assert repr(promise) == "<Promise state=cancelled>"
    assert repr(core.OperationRef.__new__(core.OperationRef)) == (
        "<OperationRef state=not initialized>"
    )


def test_a_process_says_its_command_state_and_code(core: ModuleType, sandbox: Sandbox) -> None:
    process = sandbox.exec(["hang", "it's"])
    assert repr(process) == """<Process command=['hang', "it's"] state=running>"""
    process.cancel()
    assert repr(process) == """<Process command=['hang', "it's"] state=cancelled>"""
    for code in (0, 3):
        process = sandbox.exec(["exit", str(code)], check=True)
        core.wait_many([process], 1, 10)
        shown = f"<Process command=['exit', '{code}'] state=exited returncode={code}>"
        assert repr(process) == shown  # before anybody asked for the result
    process = sandbox.exec(["error"])
    core.wait_many([process], 1, 10)
    assert repr(process) == "<Process command=['error'] state=failed>"


def test_a_long_command_is_cut(sandbox: Sandbox) -> None:
    process = sandbox.exec(["hang", "x" * 1_000_000])
    assert re.fullmatch(r"<Process command=\['hang', 'x+\.\.\. state=running>", repr(process))
    assert len(repr(process)) < 250
    process.cancel()


def test_streams_say_whose_they_are(sandbox: Sandbox) -> None:
    process = sandbox.exec(["hang"], stdin=True)
    owner = "<Process command=['hang'] state=running>"
    assert repr(process.stdout) == f"<StreamReader stdout of {owner}>"
    assert repr(process.stdout._bytes()) == f"<StreamReader bytes of stdout of {owner}>"
    assert repr(process.stderr.chunks()) == f"<StreamReader chunks of stderr of {owner}>"
    assert repr(process.stdin) == f"<StreamWriter stdin of {owner}>"
    process.stdin.close()
    process.stdout.close()
    assert repr(process.stdin) == f"<StreamWriter stdin of {owner} closed>"
    assert repr(process.stdout) == f"<StreamReader stdout of {owner} closed>"
    process.cancel()


def test_what_was_made_before_fork_says_so(peer: GrpcPeer) -> None:
    run_script(
        """
sandbox = core.SandboxCore()
sandbox.open(core.Channel(sys.argv[1]), "sb")
process = started(sandbox.exec(["hang"], stdin=True))
promise = core.Promise()

def look():
    shown = "<Process command=['hang'] state=made before fork>"
    assert repr(process) == shown, repr(process)
    assert repr(promise) == "<Promise state=made before fork>"

assert in_child(look) == 0
process.cancel()
""",
        peer.base_url,
    )


# ---- the time limit's text ----


def test_a_timeout_names_its_value_and_what_was_waited_for(
    core: ModuleType, sandbox: Sandbox
) -> None:
    process = sandbox.exec(["hang"])
    for wait in (process.result, process.wait):
        with pytest.raises(TimeoutError) as caught:
            wait(0.01)
        assert str(caught.value) == (
            "not done within 0.01 s: <Process command=['hang'] state=running>"
        )
    process.cancel()
    with pytest.raises(TimeoutError, match=r"^not done within 0 s: <Promise state=pending>$"):
        core.Promise().result(0)
    with pytest.raises(TypeError, match="timeout must be a number of seconds, got 'soon'"):
        core.Promise().result("soon")
    with pytest.raises(ValueError, match="timeout must be a number of seconds >= 0, got nan"):
        core.Promise().result(float("nan"))


# ---- patching ----


@pytest.mark.parametrize("name", ["result", "wait", "poll", "cancel", "stdout", "returncode"])
def test_members_of_a_process_can_be_patched(core: ModuleType, sandbox: Sandbox, name: str) -> None:
    process = sandbox.exec(["exit", "0"])
    with mock.patch.object(core.Process, name) as double:
        assert getattr(process, name) is double
    assert process.result(10).returncode == 0
    assert process.wait(10) == process.poll() == process.returncode == 0


def test_a_patched_await_and_iteration_are_used_and_taken_back(
    core: ModuleType, sandbox: Sandbox
) -> None:
    def instead(self: object) -> Any:
        return iter(["patched"])

    process = sandbox.exec(["hang"])
    with mock.patch.object(core.StreamReader, "__iter__", instead):
        assert list(process.stdout) == ["patched"]
    assert next(iter(process.stdout)) == "started\n"
    process.cancel()

    async def wait() -> Any:
        return await sandbox.exec(["exit", "4"])

    with mock.patch.object(core.Process, "__await__", instead), pytest.raises(RuntimeError):
        asyncio.run(wait())
    assert asyncio.run(wait()).returncode == 4


@pytest.mark.parametrize("name", ["OperationRef", "Promise", "StreamReader", "StreamWriter"])
def test_other_types_can_be_patched(core: ModuleType, name: str) -> None:
    with mock.patch.object(getattr(core, name), "extra", "there", create=True):
        assert getattr(core, name).extra == "there"
    assert not hasattr(getattr(core, name), "extra")


@pytest.mark.parametrize("name", ["Process", "StreamReader", "StreamWriter"])
def test_no_patch_makes_an_object_without_a_command(core: ModuleType, name: str) -> None:
    cls = getattr(core, name)
    for base in (object, core.OperationRef, core.Promise):
        with (
            mock.patch.object(cls, "__new__", lambda _, base=base: base.__new__(cls)),
            pytest.raises(TypeError),
        ):
            cls()
    # What somebody makes is no native object. (Python does not let a type be called again whose __new__ was patched and
    # whose base has another.)
    with pytest.raises(TypeError, match=r"missing|is not safe"):
        cls()


def test_an_object_cannot_become_another_type(core: ModuleType, sandbox: Sandbox) -> None:
    process = sandbox.exec(["exit", "0"])
    for one, other in (
        (process, core.OperationRef),
        (process.stdout, core.StreamWriter),
        (core.Promise(), core.Process),
    ):
        with pytest.raises(TypeError, match="__class__"):
            one.__class__ = other
    process.result(10)
