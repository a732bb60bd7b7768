"""cwsandbox.testing: what a program meets on connections that fail."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator

import pytest

from cwsandbox import (
    CWSandboxError,
    Sandbox,
    SandboxError,
    SandboxFileError,
    SandboxNotFoundError,
    SandboxUnavailableError,
)
from cwsandbox._relay.calls import PREFACE
from cwsandbox._relay.frames import Frame, header_frames
from cwsandbox.testing import Faults
from integration.env import Daemon
from integration.env.wait import eventually


@pytest.fixture
def faults(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    with Faults(daemon.base_url) as running:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", running.url)
        yield running


@pytest.fixture
def sandbox(faults: Faults) -> Iterator[Sandbox]:
    with Sandbox.run() as running:
        yield running
        faults.heal()


def works(sandbox: Sandbox) -> bool:
    return sandbox.exec(["echo", "works"]).result().stdout == "works\n"


def test_without_a_fault_all_arrives(sandbox: Sandbox) -> None:
    result = sandbox.exec(["head", "-c", "3000000", "/dev/zero"]).result()
    assert result.stdout_bytes == bytes(3_000_000)


def test_cut_now(faults: Faults, sandbox: Sandbox) -> None:
    process = sandbox.exec(["sh", "-c", "echo begun; exec sleep 50"])
    assert next(process.stdout) == "begun\n"
    faults.cut()
    with pytest.raises(SandboxError) as caught:
        process.result()
    assert caught.value.exec_result.stdout == "begun\n"
    assert works(sandbox)


def test_cut_after_so_many_bytes(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.cut(after_bytes=500_000)
    process = sandbox.exec(["head", "-c", "3000000", "/dev/zero"])
    with pytest.raises(SandboxError) as caught:
        process.result()
    arrived = len(caught.value.exec_result.stdout_bytes)
    # What else those bytes are is framing, and the message that was cut through.
    assert 300_000 < arrived < 500_000
    assert works(sandbox)


def test_delay_holds_answers_back(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.delay(1000)
    with pytest.raises(SandboxError):
        sandbox.exec(["true"], timeout_seconds=0.5).result()
    late = sandbox.exec(["echo", "late"])
    faults.heal()
    assert late.result().stdout == "late\n"


def test_refused_until_healed(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.refuse()
    with pytest.raises(SandboxError):
        sandbox.exec(["true"], timeout_seconds=2).result()
    faults.heal()
    assert works(sandbox)


def test_a_service_that_is_not_there(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Faults(f"unix://{tmp_path}/none") as faults:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", faults.url)
        with pytest.raises(SandboxError):
            Sandbox.list(timeout_seconds=2).result()


@pytest.mark.parametrize("upstream", ["https://host", "local", "unix:", "http://", ""])
def test_upstreams_that_cannot_be_relayed(upstream: str) -> None:
    with pytest.raises(ValueError, match="upstream must be"):
        Faults(upstream)


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "7"])
def test_a_wrong_number_of_bytes(faults: Faults, number: object) -> None:
    with pytest.raises(ValueError, match="after_bytes"):
        faults.cut(after_bytes=number)


# ---- answers in the place of the service's ----


def test_a_status_for_one_method(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.refuse("NOT_FOUND", message="fort: 100 % weg, ü", methods=["ReadFile"])
    with pytest.raises(SandboxError, match="fort: 100 % weg, ü"):
        sandbox.read_file("/etc/hostname").result()
    assert works(sandbox)
    sandbox.write_file("/tmp/a", b"x").result()
    faults.heal()
    assert sandbox.read_file("/tmp/a").result() == b"x"


def test_a_reason(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.refuse(
        "FAILED_PRECONDITION", reason="CWSANDBOX_FILE_IS_DIRECTORY", methods=["WriteFile"]
    )
    with pytest.raises(SandboxFileError) as caught:
        sandbox.write_file("/tmp/a", b"x" * 3_000_000).result()
    assert caught.value.reason == "CWSANDBOX_FILE_IS_DIRECTORY"
    assert works(sandbox)


def test_every_method_but_some(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.refuse("UNAVAILABLE", message="all")
    faults.refuse("INTERNAL", message="one", methods=["StreamExec"])
    with pytest.raises(SandboxError, match="one"):
        sandbox.exec(["true"]).result()
    with pytest.raises(SandboxError, match="all"):
        sandbox.read_file("/etc/hostname").result()
    faults.heal()
    assert works(sandbox)


def test_calls_that_have_begun_go_on(faults: Faults, sandbox: Sandbox) -> None:
    process = sandbox.exec(["cat"], stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"begun\n").result()
    assert next(process.stdout) == "begun\n"
    faults.refuse("UNAVAILABLE")
    with pytest.raises(SandboxUnavailableError):
        sandbox.exec(["true"]).result()
    process.stdin.write(b"still\n").result()
    process.stdin.close().result()
    assert process.result().stdout == "begun\nstill\n"


def test_a_create_that_is_refused(faults: Faults) -> None:
    faults.refuse("PERMISSION_DENIED", message="not you", methods=["CreateSandbox"])
    with pytest.raises(CWSandboxError, match="not you"):
        Sandbox.run()
    faults.heal()
    with Sandbox.run() as sandbox:
        assert works(sandbox)


def test_what_is_refused_takes_no_room(faults: Faults, sandbox: Sandbox) -> None:
    """More than a connection's window is sent to calls that the service does not hear of, and none is left waiting."""
    assert works(sandbox)
    faults.refuse("UNAVAILABLE", methods=["WriteFile"])
    for _ in range(8):
        with pytest.raises(SandboxError):
            sandbox.write_file("/tmp/a", bytes(4_000_000)).result()
    faults.heal()
    sandbox.write_file("/tmp/a", bytes(4_000_000)).result()
    assert len(sandbox.read_file("/tmp/a").result()) == 4_000_000


def test_many_calls_while_some_are_refused(faults: Faults, sandbox: Sandbox) -> None:
    """Header blocks refer to earlier ones; leaving some out confuses nobody."""
    assert works(sandbox)
    faults.refuse("NOT_FOUND", methods=["ReadFile"])
    for round_ in range(20):
        reads = [sandbox.read_file(f"/tmp/{round_}-{n}") for n in range(5)]
        processes = [sandbox.exec(["echo", str(n)], timeout_seconds=20 + n) for n in range(5)]
        assert [process.result().stdout for process in processes] == [f"{n}\n" for n in range(5)]
        for read in reads:
            with pytest.raises(SandboxNotFoundError):
                read.result()


# ---- the n-th message ----


@pytest.mark.parametrize("number", [1, 3])
def test_cut_after_so_many_messages(faults: Faults, sandbox: Sandbox, number: int) -> None:
    """Each line is one, as the command waits for the reader's word before the next."""
    process = sandbox.exec(["cat"], stdin=True)
    assert process.stdin is not None
    process.stdin.write(b"0\n").result()
    assert next(process.stdout) == "0\n"
    faults.cut(after_messages=number, methods=["StreamExec"])
    for n in range(1, number + 1):
        # A call of another method is another matter.
        assert faults._messages_left == number - n + 1
        process.stdin.write(b"%d\n" % n).result()
        assert next(process.stdout) == f"{n}\n"
    with pytest.raises(SandboxError) as caught:
        process.result()
    lines = [f"{n}\n" for n in range(number + 1)]
    assert caught.value.exec_result.stdout == "".join(lines)
    assert works(sandbox)


def test_cut_before_the_exit_code(faults: Faults, sandbox: Sandbox) -> None:
    """All of the output has come, and the end has not."""
    script = "echo begun; read line; echo all; exit 3"
    process = sandbox.exec(["sh", "-c", script], stdin=True)
    assert next(process.stdout) == "begun\n"
    faults.cut(after_messages=1, methods=["StreamExec"])
    process.stdin.write(b"\n")
    with pytest.raises(SandboxUnavailableError) as caught:
        process.result()
    assert caught.value.exec_result.stdout == "begun\nall\n"
    assert works(sandbox)


def test_a_client_that_cannot_be_understood_leaves_nothing_behind(faults: Faults) -> None:
    """Its connection ends in both directions, also what is held back for it."""
    faults.delay(1000)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(faults.url.removeprefix("unix://"))
        client.sendall(PREFACE + Frame(0x4, 0, 0, b"").packed())  # SETTINGS
        eventually(lambda: faults._held, "the service's first bytes are held back")
        client.sendall(header_frames(1, b"\x80", 0))  # there is no field 0
        client.settimeout(30)
        with contextlib.suppress(ConnectionError):
            assert client.recv(1) == b""
    eventually(lambda: not faults._held, "nothing is held back")


def test_only_the_named_methods_count(faults: Faults, sandbox: Sandbox) -> None:
    assert works(sandbox)
    faults.cut(after_messages=1, methods=["ReadFile"])
    assert works(sandbox)
    sandbox.write_file("/tmp/a", b"x").result()
    long = sandbox.exec(["sleep", "60"])
    with contextlib.suppress(
        SandboxError
    ):  # the message has passed, perhaps not how the call ended
        sandbox.read_file("/tmp/a").result()
    with pytest.raises(SandboxError):
        long.result()
    assert works(sandbox)


# ---- without the extra ----


@pytest.fixture
def plain(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    monkeypatch.setitem(sys.modules, "hpack", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "cwsandbox._relay.headers", raising=False)
    monkeypatch.delitem(sys.modules, "cwsandbox._relay.calls", raising=False)
    with Faults(daemon.base_url) as running:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", running.url)
        yield running


def test_faults_of_connections_need_no_hpack(plain: Faults) -> None:
    with Sandbox.run() as sandbox:
        assert works(sandbox)
        process = sandbox.exec(["sh", "-c", "echo begun; exec sleep 50"])
        assert next(process.stdout) == "begun\n"
        plain.cut()
        with pytest.raises(SandboxUnavailableError):
            process.result()
        assert works(sandbox)
        plain.cut(after_bytes=500_000)
        with pytest.raises(SandboxError):
            sandbox.exec(["head", "-c", "3000000", "/dev/zero"]).result()
        assert works(sandbox)
        plain.delay(1000)
        late = sandbox.exec(["echo", "late"])
        plain.heal()
        assert late.result().stdout == "late\n"
        plain.refuse()
        with pytest.raises(SandboxError):
            sandbox.exec(["true"], timeout_seconds=2).result()
        plain.heal()
        assert works(sandbox)


@pytest.mark.parametrize(
    ("method", "args", "options"),
    [
        ("refuse", ("UNAVAILABLE",), {"reason": "CWSANDBOX_FILE_NOT_FOUND"}),
        ("cut", (), {"after_messages": 1}),
    ],
)
def test_faults_of_calls_say_that_they_need_hpack(
    plain: Faults, method: str, args: tuple[str, ...], options: dict[str, object]
) -> None:
    with pytest.raises(ImportError, match=r"hpack: pip install 'cwsandbox\[testing\]'"):
        getattr(plain, method)(*args, **options)
    with Sandbox.run() as sandbox:
        assert works(sandbox)


WRONG = [
    ("refuse", ("NO_SUCH_CODE",), {}, "code must be one of CANCELLED, UNKNOWN"),
    ("refuse", (14,), {}, "code must be one of"),
    ("refuse", (), {"message": "x"}, "only with a code"),
    ("refuse", (), {"methods": ["x"]}, "only with a code"),
    ("refuse", ("UNAVAILABLE",), {"methods": "StreamExec"}, "methods"),
    ("refuse", ("UNAVAILABLE",), {"methods": ["StreamExecs"]}, "Did you mean 'StreamExec'"),
    ("refuse", ("UNAVAILABLE",), {"methods": ["GetSandbox", ""]}, "methods has '', which"),
    ("cut", (), {"after_messages": 1, "methods": ["exec"]}, "methods has 'exec', which"),
    ("refuse", ("UNAVAILABLE",), {"message": 7}, "message must be a str"),
    ("refuse", ("UNAVAILABLE",), {"reason": 7}, "reason"),
    ("cut", (), {"after_bytes": 1, "after_messages": 1}, "not both"),
    ("cut", (), {"after_messages": 0}, "after_messages must be an int of at least 1"),
    ("cut", (), {"methods": ["StreamExec"]}, "only with after_messages"),
    ("cut", (), {"after_messages": 1, "methods": "StreamExec"}, "methods"),
]


@pytest.mark.parametrize(("method", "args", "options", "says"), WRONG)
def test_wrong_faults(
    faults: Faults, method: str, args: tuple[object, ...], options: dict[str, object], says: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        getattr(faults, method)(*args, **options)
