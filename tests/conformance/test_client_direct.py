"""Our client's direct data plane against grpcio with mTLS: what goes there, and what happens when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from conformance.direct_peer import (
    KEY,
    PERMISSIONS,
    RETIRING,
    Authority,
    DirectPeer,
    asked,
    data_calls,
    refusing,
    where,
)
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import (
    CWSandboxAuthenticationError,
    Sandbox,
    SandboxError,
    SandboxNotRunningError,
    SandboxUnavailableError,
)
from cwsandbox._lifecycle import data_plane
from integration.env import eventually

pytestmark = pytest.mark.usefixtures("direct_settings")

# Of the test with something that takes milliseconds on an idle machine.
PATIENCE = 50.0

Codes = grpc.StatusCode


def until_direct(sandbox: Sandbox) -> None:
    """Operations go directly from now on."""
    eventually(lambda: where(sandbox) == "direct", "a command goes directly", PATIENCE)


def after_an_attempt(sandbox: Sandbox, gateway: GrpcPeer) -> None:
    """A connection was tried to be made in the background."""
    where(sandbox)
    where(sandbox)
    eventually(lambda: asked(gateway) > 0, "a certificate was asked for", PATIENCE)


# ---- what goes there ----


def test_strict_everything_but_control_goes_directly(
    gateway: GrpcPeer, direct: DirectPeer, authority: Authority
) -> None:
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        assert where(sandbox) == "direct"
        process = sandbox.exec(["cat"], stdin=True)
        process.stdin.write(b"typed").result()
        process.stdin.close().result()
        assert process.result().stdout == "typed"
        sandbox.write_file("/f", b"content").result()
        assert direct.files["/f"] == b"content"
        assert sandbox.read_file("/where").result() == b"direct"
        assert list(sandbox.stream_logs()) == ["direct\n"]
    assert (data_calls(gateway), direct.calls()) == (0, 5)
    # One certificate, with every permission that operations need, did for all of it.
    (request,) = authority.requests
    assert tuple(request.requested_permissions) == PERMISSIONS
    assert request.sandbox_id == "sb-1"
    csr = x509.load_der_x509_csr(request.csr_der)
    assert csr.is_signature_valid
    assert list(csr.subject) == []
    assert len(csr.extensions) == 0
    public = csr.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"


def test_no_credentials_go_there(gateway: GrpcPeer, direct: DirectPeer) -> None:
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        where(sandbox)
        sandbox.read_file("/where").result()
    names = {name for calls in direct.metadata.values() for call in calls for name, _ in call}
    assert names == {"user-agent"}
    assert KEY in str(gateway.metadata["ConnectSandbox"])


def test_auto_begins_with_the_gateway_and_goes_on_directly(
    gateway: GrpcPeer, direct: DirectPeer
) -> None:
    with Sandbox.run() as sandbox:
        assert where(sandbox) == "gateway"
        assert asked(gateway) == 0  # for a single command it is not worth it
        until_direct(sandbox)
        before = data_calls(gateway)
        assert sandbox.read_file("/where").result() == b"direct"
        sandbox.write_file("/f", b"content").result()
        assert list(sandbox.stream_logs()) == ["direct\n"]
        assert list(sandbox.stream_logs(follow=True)) == ["direct\n"]
        assert data_calls(gateway) == before
    assert asked(gateway) == 1


def test_auto_one_command_alone_is_not_worth_a_connection(gateway: GrpcPeer) -> None:
    for make in (Sandbox.run, lambda: Sandbox.from_id("sb-7").result()):
        with make() as sandbox:
            assert where(sandbox) == "gateway"
    with Sandbox.from_id("sb-7").result() as sandbox:
        assert list(sandbox.stream_logs()) == ["gateway\n"]
    assert asked(gateway) == 0


def test_gateway_mode_never_asks(gateway: GrpcPeer, direct: DirectPeer) -> None:
    with Sandbox.run(data_plane_mode="gateway") as sandbox:
        assert {where(sandbox) for _ in range(10)} == {"gateway"}
    assert (asked(gateway), direct.calls()) == (0, 0)


def test_strict_commands_that_begin_together_share_one_certificate(
    gateway: GrpcPeer, direct: DirectPeer
) -> None:
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        processes = [sandbox.exec(["where"]) for _ in range(50)]
        logs = sandbox.stream_logs()
        assert {process.result().stdout for process in processes} == {"direct"}
        assert list(logs) == ["direct\n"]
    assert (asked(gateway), data_calls(gateway)) == (1, 0)


def test_a_certificate_is_renewed_before_it_ends(
    gateway: GrpcPeer, direct: DirectPeer, authority: Authority
) -> None:
    # Renewed 30 s before its end. One that comes in its last 30 s is none, so it may take 6 s to come.
    gateway.overrides["ConnectSandbox"] = authority.answer(direct.base_url, seconds=36)
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        assert where(sandbox) == "direct"
        gateway.overrides["ConnectSandbox"] = authority.answer(direct.base_url)
        eventually(
            lambda: where(sandbox) == "direct" and asked(gateway) == 2,
            "it has been renewed",
            PATIENCE,
        )
        assert data_calls(gateway) == 0


def test_stop_ends_what_runs_there(gateway: GrpcPeer, direct: DirectPeer) -> None:
    @direct.command("wait")
    async def wait(call: Call) -> None:
        await call.ready()
        await call.out(b"so far")
        async for _ in call.stdin():
            pass

    with Sandbox.run(data_plane_mode="direct") as sandbox:
        process = sandbox.exec(["wait"], stdin=True)
        assert next(iter(process.stdout.chunks())) == "so far"
        sandbox.stop().result()
        with pytest.raises(SandboxNotRunningError):
            process.result()


@pytest.mark.parametrize("served", [True, False])
def test_strict_not_even_a_log_after_the_stop_takes_the_gateway(
    gateway: GrpcPeer, direct: DirectPeer, served: bool
) -> None:
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        assert where(sandbox) == "direct"
        sandbox.stop().result()
        if not served:
            gateway.overrides["ConnectSandbox"] = gateway._unimplemented
            with pytest.raises(SandboxUnavailableError, match="directly"):
                list(sandbox.stream_logs())
        else:
            assert list(sandbox.stream_logs()) == ["direct\n"]
    assert data_calls(gateway) == 0


def test_strict_a_stop_ends_the_wait_for_a_connection(gateway: GrpcPeer) -> None:
    async def never(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    gateway.overrides["ConnectSandbox"] = never
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        process = sandbox.exec(["where"])
        eventually(lambda: asked(gateway) == 1, "a certificate was asked for")
        sandbox.stop().result()
        with pytest.raises(SandboxNotRunningError):
            process.result()


# ---- auto: when ConnectSandbox does not help ----

NOT_OK = [code for code in Codes if code is not Codes.OK]


@pytest.mark.parametrize("code", NOT_OK, ids=lambda code: str(code.name))
def test_auto_whatever_the_gateway_answers_it_serves_by_itself(
    gateway: GrpcPeer, direct: DirectPeer, code: Codes
) -> None:
    async def refuse(request: Any, context: Any) -> None:
        await context.abort(code, "no")

    gateway.overrides["ConnectSandbox"] = refuse
    with Sandbox.run() as sandbox:
        after_an_attempt(sandbox, gateway)
        assert {where(sandbox) for _ in range(10)} == {"gateway"}
    assert (asked(gateway), direct.calls()) == (1, 0)


def test_auto_a_gateway_without_one_is_not_asked_for_each_sandbox(gateway: GrpcPeer) -> None:
    gateway.overrides["ConnectSandbox"] = gateway._unimplemented
    for _ in range(3):
        with Sandbox.run() as sandbox:
            after_an_attempt(sandbox, gateway)
    assert asked(gateway) == 1


def test_auto_does_not_wait_for_an_answer(gateway: GrpcPeer, direct: DirectPeer) -> None:
    async def never(request: Any, context: Any) -> None:
        await asyncio.Event().wait()

    gateway.overrides["ConnectSandbox"] = never
    with Sandbox.run() as sandbox:
        after_an_attempt(sandbox, gateway)
        assert {where(sandbox) for _ in range(10)} == {"gateway"}


UNUSABLE: dict[str, dict[str, Any]] = {
    "transport": {"transport": 0},
    "protocol": {"protocol": 0},
    "http": {"endpoint_uri": "http://localhost:1"},
    "no endpoint": {"endpoint_uri": ""},
    "path": {"endpoint_uri": "https://localhost:1/path"},
    "port": {"endpoint_uri": "https://localhost:65536"},
    "no chain": {"client_certificate_chain_pem": b""},
    "chain": {"client_certificate_chain_pem": b"no PEM"},
    "roots": {"server_ca_bundle_pem": b"no PEM"},
    "no expiry": {"expires_at": None},
    "expiry": {"seconds": 29},
    "nothing granted": {"granted_permissions": []},
}


@pytest.mark.parametrize("changes", UNUSABLE.values(), ids=UNUSABLE)
def test_auto_a_reply_that_cannot_be_used(
    gateway: GrpcPeer, direct: DirectPeer, authority: Authority, changes: dict[str, Any]
) -> None:
    answer = authority.answer(changes.get("endpoint_uri", direct.base_url), **changes)
    gateway.overrides["ConnectSandbox"] = answer
    with Sandbox.run() as sandbox:
        after_an_attempt(sandbox, gateway)
        assert {where(sandbox) for _ in range(5)} == {"gateway"}
    assert (asked(gateway), direct.calls()) == (1, 0)
    with (
        Sandbox.run(data_plane_mode="direct") as sandbox,
        pytest.raises(SandboxUnavailableError, match="directly"),
    ):
        where(sandbox)
    assert direct.calls() == 0


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_what_was_not_granted(
    gateway: GrpcPeer, direct: DirectPeer, authority: Authority, permission: int
) -> None:
    granted = [number for number in PERMISSIONS if number != permission]
    gateway.overrides["ConnectSandbox"] = authority.answer(
        direct.base_url, granted_permissions=granted
    )

    def attempt(sandbox: Sandbox) -> object:
        return {
            2: lambda: where(sandbox),
            3: lambda: list(sandbox.stream_logs()),
            4: lambda: sandbox.write_file("/f", b"").result(),
            5: lambda: sandbox.read_file("/where").result(),
        }[permission]()

    with Sandbox.run() as sandbox:
        after_an_attempt(sandbox, gateway)
        before = data_calls(gateway)
        attempt(sandbox)
        assert data_calls(gateway) == before + 1
    with (
        Sandbox.run(data_plane_mode="direct") as sandbox,
        pytest.raises(SandboxUnavailableError, match="does not permit this"),
    ):
        attempt(sandbox)


# ---- auto: when the endpoint does not help ----


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"https://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def http1(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """Speaks TLS, and does not choose HTTP/2."""
    key, cert = authority.server("127.0.0.1")
    (tmp_path / "server.pem").write_bytes(key + cert)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    def shake_hands(listener: ssl.SSLSocket) -> None:
        # Until the listener is shut down.
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(ssl.SSLError, ConnectionError):
                    listener.accept()[0].close()

    plain = socket.create_server(("127.0.0.1", 0))
    with context.wrap_socket(plain, server_side=True) as listener:
        thread = threading.Thread(target=shake_hands, args=(listener,))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture
def endpoint(
    request: pytest.FixtureRequest, make_direct: Callable[..., DirectPeer], authority: Authority
) -> str:
    """The URI of an endpoint that cannot be used."""
    if request.param in ("silent", "closed", "http1"):
        return str(request.getfixturevalue(request.param))
    peers: dict[str, Callable[[], DirectPeer]] = {
        "name": lambda: make_direct(authority.server("elsewhere.example.org")),
        "ip by common name": lambda: make_direct(authority.server(common_name="127.0.0.1")),
        "names only": lambda: make_direct(authority.server("localhost")),
        "authority": lambda: make_direct(Authority().server("127.0.0.1")),
        "client": lambda: make_direct(roots=Authority().roots),
    }
    return peers[request.param]().base_url.replace("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    "endpoint",
    ["silent", "closed", "http1", "name", "ip by common name", "names only", "authority", "client"],
    indirect=True,
)
def test_an_endpoint_that_cannot_be_used(
    gateway: GrpcPeer, authority: Authority, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_plane, "CONNECT_LIMIT", 1.0)
    gateway.overrides["ConnectSandbox"] = authority.answer(endpoint)
    with Sandbox.run() as sandbox:
        after_an_attempt(sandbox, gateway)
        assert {where(sandbox) for _ in range(20)} == {"gateway"}
    with (
        Sandbox.run(data_plane_mode="direct") as sandbox,
        pytest.raises(SandboxUnavailableError, match="directly"),
    ):
        where(sandbox)


def served_by_the_gateway(sandbox: Sandbox) -> bool:
    """False also for a command that was sent while its connection broke."""
    try:
        return where(sandbox) == "gateway"
    except SandboxUnavailableError:
        return False


def test_auto_an_endpoint_that_is_gone(gateway: GrpcPeer, direct: DirectPeer) -> None:
    with Sandbox.run() as sandbox:
        until_direct(sandbox)
        direct.end()
        eventually(lambda: served_by_the_gateway(sandbox), "the gateway serves again", PATIENCE)
        assert sandbox.read_file("/where").result() == b"gateway"


# ---- when the endpoint refuses ----


def attempts(sandbox: Sandbox) -> dict[str, Callable[[], Any]]:
    def write() -> bytes:
        sandbox.write_file("/where", b"gateway").result()
        return b"gateway"

    return {
        "exec": lambda: where(sandbox),
        "logs": lambda: list(sandbox.stream_logs()),
        "read": lambda: sandbox.read_file("/where").result(),
        "write": write,
    }


SERVED = {"exec": "gateway", "logs": ["gateway\n"], "read": b"gateway", "write": b"gateway"}


@pytest.mark.parametrize("kind", SERVED)
def test_auto_what_is_proven_not_to_have_begun_goes_to_the_gateway(
    gateway: GrpcPeer, direct: DirectPeer, kind: str
) -> None:
    with Sandbox.run() as sandbox:
        until_direct(sandbox)
        begun = refusing(direct, Codes.UNAVAILABLE, RETIRING)
        assert attempts(sandbox)[kind]() == SERVED[kind]
        assert len(begun) == 1
        # The others are not sent there any more.
        for name, attempt in attempts(sandbox).items():
            assert attempt() == SERVED[name]
        assert len(begun) == 1


@pytest.mark.parametrize("kind", ["exec", "logs", "read", "write"])
def test_auto_what_may_have_begun_is_not_done_twice(
    gateway: GrpcPeer, direct: DirectPeer, kind: str
) -> None:
    with Sandbox.run() as sandbox:
        until_direct(sandbox)
        begun = refusing(direct, Codes.UNAVAILABLE, None)
        before = data_calls(gateway)
        with pytest.raises(SandboxUnavailableError):
            attempts(sandbox)[kind]()
        assert (len(begun), data_calls(gateway)) == (1, before)


# ---- strict: errors ----


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Codes.DEADLINE_EXCEEDED, SandboxUnavailableError),
        (Codes.FAILED_PRECONDITION, SandboxUnavailableError),
        (Codes.RESOURCE_EXHAUSTED, SandboxUnavailableError),
        (Codes.UNAVAILABLE, SandboxUnavailableError),
        (Codes.UNIMPLEMENTED, SandboxUnavailableError),
        (Codes.UNAUTHENTICATED, CWSandboxAuthenticationError),
        (Codes.PERMISSION_DENIED, CWSandboxAuthenticationError),
        (Codes.INTERNAL, SandboxError),
    ],
)
def test_strict_what_the_gateway_answers(
    gateway: GrpcPeer, code: Codes, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some answers are asked for again for so long.
    monkeypatch.setattr(data_plane, "CONNECT_LIMIT", 1.0)

    async def refuse(request: Any, context: Any) -> None:
        await context.abort(code, "the reason")

    gateway.overrides["ConnectSandbox"] = refuse
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        for attempt in (
            lambda: where(sandbox),
            lambda: list(sandbox.stream_logs()),
            lambda: sandbox.read_file("/where", timeout_seconds=20).result(),
        ):
            with pytest.raises(kind, match="the reason") as caught:
                attempt()
            assert type(caught.value) is kind
    assert data_calls(gateway) == 0


def test_strict_asks_again_while_the_gateway_cannot_answer(
    gateway: GrpcPeer, authority: Authority, direct: DirectPeer
) -> None:
    answer = authority.answer(direct.base_url)

    async def at_the_third(request: Any, context: Any) -> Any:
        if asked(gateway) < 3:
            await context.abort(Codes.UNAVAILABLE, "not yet")
        return await answer(request, context)

    gateway.overrides["ConnectSandbox"] = at_the_third
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        assert where(sandbox) == "direct"
    assert asked(gateway) == 3


def test_strict_a_failure_is_no_end(
    gateway: GrpcPeer, authority: Authority, direct: DirectPeer
) -> None:
    gateway.overrides["ConnectSandbox"] = gateway._unimplemented
    with Sandbox.run(data_plane_mode="direct") as sandbox:
        with pytest.raises(SandboxUnavailableError):
            where(sandbox)
        gateway.overrides["ConnectSandbox"] = authority.answer(direct.base_url)
        assert where(sandbox) == "direct"


@pytest.mark.parametrize("mode", ["Direct", "AUTO", "gateway"])
def test_modes_are_taken_in_any_case(gateway: GrpcPeer, mode: str) -> None:
    with Sandbox.run(data_plane_mode=mode) as sandbox:
        assert where(sandbox) in ("direct", "gateway")


def test_an_unknown_mode_is_refused_at_the_call() -> None:
    for call in (
        lambda: Sandbox.run(data_plane_mode="straight"),
        lambda: Sandbox.list(data_plane_mode="straight"),
        lambda: Sandbox.from_id("sb-1", data_plane_mode="straight"),
    ):
        with pytest.raises(ValueError, match="data_plane_mode"):
            call()
