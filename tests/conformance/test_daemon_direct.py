"""Our daemon's direct data plane against grpcio: who gets a certificate, and what it is good for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from conformance import protos
from conformance.direct_client import ALL, Direct, key_pem, request, stub
from conformance.running import running
from integration.env import Certs, Daemon, eventually

TOKEN = "a-token-0123456789"
STREAM_EXEC, STREAM_LOGS, WRITE_FILE, READ_FILE = 2, 3, 4, 5
HOUR = 3600


class Gateway:
    """The daemon's gateway with the token in each call."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = protos.stubs().SandboxServiceStub(channel)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stub, name)
        return lambda message: method(
            message, metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=20
        )


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with (
        tempfile.TemporaryDirectory(prefix="cwsd-") as folder,
        Daemon(Path(folder), token=TOKEN) as daemon,
    ):
        yield daemon


@pytest.fixture(scope="module")
def gateway(daemon: Daemon) -> Iterator[Any]:
    with grpc.insecure_channel(daemon.base_url.removeprefix("http://")) as channel:
        yield Gateway(channel)


@pytest.fixture
def make(gateway: Any) -> Iterator[Callable[[], str]]:
    """Makes sandboxes that run, and end with the test."""
    pb = protos.messages()
    with ExitStack() as stack:

        def create() -> str:
            spec = pb.SandboxSpec(containers=[pb.Container(name="main", image="any")])
            made = gateway.CreateSandbox(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))
            stack.callback(stop, gateway, made.sandbox_id)
            running(gateway, made.sandbox_id)
            return str(made.sandbox_id)

        yield create


@pytest.fixture
def channel() -> Iterator[Callable[[grpc.Channel], Any]]:
    """The data plane's methods on a channel that is closed with the test."""
    with ExitStack() as stack:
        yield lambda opened: stub(stack.enter_context(opened))


def stop(gateway: Any, sandbox_id: str) -> None:
    pb = protos.messages()
    wish = pb.DeleteSandboxRequest(
        sandbox_id=sandbox_id, allow_missing=True, grace_period_seconds=0
    )
    gateway.DeleteSandbox(wish)
    ended = (pb.STATE_COMPLETED, pb.STATE_TERMINATED, pb.STATE_FAILED)
    query = pb.GetSandboxRequest(sandbox_id=sandbox_id)
    eventually(lambda: gateway.GetSandbox(query).status.state in ended, "the sandbox has ended")


def frames(sandbox_id: str, *command: str) -> Iterator[Any]:
    pb = protos.messages()
    yield pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=sandbox_id, command=command))


def run(plane: Any, sandbox_id: str, *command: str) -> bytes:
    replies = list(plane.StreamExec(frames(sandbox_id, *command), timeout=20))
    assert replies[-1].exit.exit_code == 0
    return b"".join(reply.output.data for reply in replies)


def reason_of(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status is not None
    status.details[0].Unpack(info)
    return str(info.reason)


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status and reason with which the call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), reason_of(caught.value)


def connect(gateway: Any, sandbox_id: str, csr: bytes, permissions: tuple[int, ...] = ALL) -> Any:
    return gateway.ConnectSandbox(
        protos.messages().ConnectSandboxRequest(
            sandbox_id=sandbox_id, csr_der=csr, requested_permissions=permissions
        )
    )


# ---- ConnectSandbox ----


def test_a_certificate_says_what_was_granted(gateway: Any, make: Callable[[], str]) -> None:
    sandbox_id = make()
    direct = Direct(gateway, sandbox_id, (STREAM_EXEC, READ_FILE))
    reply, certificate = direct.reply, direct.certificate
    assert reply.endpoint_uri.startswith("https://127.0.0.1:")
    assert (reply.transport, reply.protocol) == (1, 1)
    assert reply.endpoint_id
    assert list(reply.granted_permissions) == [STREAM_EXEC, READ_FILE]
    assert certificate.public_key() == direct.key.public_key()
    assert list(certificate.subject) == []
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = f"cwsandbox:{sandbox_id}?permissions=25"
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
    assert certificate.not_valid_after_utc.timestamp() == reply.expires_at.seconds
    assert HOUR - 60 < reply.expires_at.seconds - time.time() <= HOUR
    authority = x509.load_pem_x509_certificate(reply.server_ca_bundle_pem)
    certificate.verify_directly_issued_by(authority)


def test_what_the_request_says_of_itself_does_not_count(
    gateway: Any, make: Callable[[], str]
) -> None:
    sandbox_id, key = make(), ec.generate_private_key(ec.SECP256R1())
    other = x509.UniformResourceIdentifier("cwsandbox:sb-other?permissions=12345")
    forged = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sb-other")]))
        .add_extension(x509.SubjectAlternativeName([other]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    reply = connect(gateway, sandbox_id, forged, (READ_FILE,))
    certificate = x509.load_pem_x509_certificate(reply.client_certificate_chain_pem)
    assert list(certificate.subject) == []
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uri = f"cwsandbox:{sandbox_id}?permissions=5"
    assert list(names) == [x509.UniformResourceIdentifier(uri)]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def _broken_signature() -> bytes:
    csr = bytearray(request(ec.generate_private_key(ec.SECP256R1())))
    csr[-1] ^= 1
    return bytes(csr)


def _huge() -> bytes:
    """As large as a message can be, and right in everything else: its signature is for all of it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    ballast = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(3_000_000))
    signed = builder.add_extension(ballast, False).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    "csr",
    [
        b"",
        b"no request",
        request(ec.generate_private_key(ec.SECP256R1())) + b"\0",
        _broken_signature(),
        request(ec.generate_private_key(ec.SECP384R1())),
        request(rsa.generate_private_key(65537, 2048)),
        request(ec.generate_private_key(ec.SECP256K1())),
        _huge(),
    ],
    ids=["empty", "garbage", "trailing", "unproven", "p384", "rsa", "secp256k1", "huge"],
)
def test_a_request_without_a_proven_p256_key_is_refused(
    gateway: Any, make: Callable[[], str], csr: bytes
) -> None:
    sandbox_id = make()
    code, reason = refused(lambda: connect(gateway, sandbox_id, csr))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CWSANDBOX_INVALID_REQUEST")


@pytest.mark.parametrize("permissions", [(), (0,), (2, 6)])
def test_unknown_permissions_are_refused(
    gateway: Any, make: Callable[[], str], permissions: tuple[int, ...]
) -> None:
    sandbox_id, csr = make(), request(ec.generate_private_key(ec.SECP256R1()))
    code, _ = refused(lambda: connect(gateway, sandbox_id, csr, permissions))
    assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_only_for_a_sandbox_that_runs(gateway: Any, make: Callable[[], str]) -> None:
    csr = request(ec.generate_private_key(ec.SECP256R1()))
    assert refused(lambda: connect(gateway, "sb-none", csr)) == (
        grpc.StatusCode.NOT_FOUND,
        "CWSANDBOX_SANDBOX_NOT_FOUND",
    )
    ended = make()
    stop(gateway, ended)
    assert refused(lambda: connect(gateway, ended, csr)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CWSANDBOX_SANDBOX_NOT_RUNNING",
    )


def test_no_certificate_without_the_token(daemon: Daemon, make: Callable[[], str]) -> None:
    sandbox_id = make()
    with grpc.insecure_channel(daemon.base_url.removeprefix("http://")) as plain:
        bare = protos.stubs().SandboxServiceStub(plain)
        code, _ = refused(lambda: Direct(bare, sandbox_id))
    assert code == grpc.StatusCode.UNAUTHENTICATED


# ---- what a certificate is good for ----


def test_all_five_methods(
    gateway: Any, make: Callable[[], str], channel: Callable[[grpc.Channel], Any]
) -> None:
    pb = protos.messages()
    sandbox_id = make()
    plane = channel(Direct(gateway, sandbox_id).channel())
    place = {"sandbox_id": sandbox_id, "path": "/tmp/f"}
    plane.WriteFile(pb.WriteFileRequest(**place, content=b"content"), timeout=20)
    assert plane.ReadFile(pb.ReadFileRequest(**place), timeout=20).content == b"content"
    assert run(plane, sandbox_id, "cat", "/tmp/f") == b"content"
    done = plane.Exec(pb.ExecRequest(sandbox_id=sandbox_id, command=["echo", "hello"]), timeout=20)
    assert done.stdout == b"hello\n"
    assert list(plane.StreamLogs(pb.StreamLogsRequest(sandbox_id=sandbox_id), timeout=20)) == []


def attempts(plane: Any, sandbox_id: str) -> dict[int, Callable[[], Any]]:
    """Each method of the data plane by its permission."""
    pb = protos.messages()
    place = {"sandbox_id": sandbox_id, "path": "/tmp/f"}
    command = pb.ExecRequest(sandbox_id=sandbox_id, command=["true"])
    logs = pb.StreamLogsRequest(sandbox_id=sandbox_id)
    return {
        1: lambda: plane.Exec(command, timeout=20),
        STREAM_EXEC: lambda: list(plane.StreamExec(frames(sandbox_id, "true"), timeout=20)),
        STREAM_LOGS: lambda: list(plane.StreamLogs(logs, timeout=20)),
        WRITE_FILE: lambda: plane.WriteFile(pb.WriteFileRequest(**place), timeout=20),
        READ_FILE: lambda: plane.ReadFile(pb.ReadFileRequest(**place), timeout=20),
    }


@pytest.mark.parametrize("permission", ALL)
def test_exactly_its_permissions(
    gateway: Any,
    make: Callable[[], str],
    channel: Callable[[grpc.Channel], Any],
    permission: int,
) -> None:
    sandbox_id = make()
    plane = channel(Direct(gateway, sandbox_id, (permission,)).channel())
    calls = attempts(plane, sandbox_id)
    allowed = calls.pop(permission)
    if permission == READ_FILE:
        assert refused(allowed)[1] == "CWSANDBOX_FILE_NOT_FOUND"
    else:
        allowed()
    for call in calls.values():
        assert refused(call) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "CWSANDBOX_PERMISSION_DENIED",
        )


def test_exactly_its_sandbox(
    gateway: Any, make: Callable[[], str], channel: Callable[[grpc.Channel], Any]
) -> None:
    plane = channel(Direct(gateway, make()).channel())
    for call in attempts(plane, make()).values():
        assert refused(call)[0] == grpc.StatusCode.PERMISSION_DENIED
    for call in attempts(plane, "").values():
        assert refused(call)[0] == grpc.StatusCode.PERMISSION_DENIED


def test_no_other_method_even_with_the_token(gateway: Any, make: Callable[[], str]) -> None:
    sandbox_id = make()
    with Direct(gateway, sandbox_id).channel() as opened:
        over_direct = Gateway(opened)
        query = protos.messages().GetSandboxRequest(sandbox_id=sandbox_id)
        code, _ = refused(lambda: over_direct.GetSandbox(query))
        assert code == grpc.StatusCode.PERMISSION_DENIED


def test_the_gateway_does_not_serve_the_data_plane(daemon: Daemon, make: Callable[[], str]) -> None:
    pb = protos.messages()
    sandbox_id = make()
    with grpc.insecure_channel(daemon.base_url.removeprefix("http://")) as plain:
        command = pb.ExecRequest(sandbox_id=sandbox_id, command=["true"])
        metadata = (("authorization", f"Bearer {TOKEN}"),)
        code, _ = refused(lambda: stub(plain).Exec(command, metadata=metadata, timeout=20))
    assert code == grpc.StatusCode.UNIMPLEMENTED


def test_strangers_get_no_connection(gateway: Any, make: Callable[[], str], certs: Certs) -> None:
    direct = Direct(gateway, make())
    foreign = {"key": certs.client_key.read_bytes(), "chain": certs.client_cert.read_bytes()}
    anonymous = grpc.ssl_channel_credentials(direct.reply.server_ca_bundle_pem)
    wrong_key = {"key": key_pem(ec.generate_private_key(ec.SECP256R1()))}
    for opened in (
        direct.channel(**foreign),
        grpc.secure_channel(direct.address, anonymous),
        direct.channel(**wrong_key),
    ):
        with opened, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(opened).result(timeout=1)


# ---- its end ----


def states_of(channel: grpc.Channel) -> list[grpc.ChannelConnectivity]:
    """Those that the channel is in from now on, when it is connected."""
    states: list[grpc.ChannelConnectivity] = []
    grpc.channel_ready_future(channel).result(timeout=10)
    channel.subscribe(states.append)
    return states


def test_it_ends_with_its_sandbox(
    gateway: Any, make: Callable[[], str], channel: Callable[[grpc.Channel], Any]
) -> None:
    sandbox_id = make()
    direct = Direct(gateway, sandbox_id)
    plane = channel(direct.channel())
    run(plane, sandbox_id, "true")
    stop(gateway, sandbox_id)
    for call in attempts(plane, sandbox_id).values():
        assert refused(call) == (
            grpc.StatusCode.UNAVAILABLE,
            "CWSANDBOX_RUNNER_SHARD_RETIRING",
        )
    with direct.channel() as again, pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(again).result(timeout=1)


def test_a_connection_that_is_held_ends_with_its_sandbox(
    gateway: Any, make: Callable[[], str]
) -> None:
    ended, goes_on = make(), make()
    with (
        Direct(gateway, ended).channel() as idle,
        Direct(gateway, goes_on).channel() as other,
    ):
        states = [states_of(idle), states_of(other)]
        stop(gateway, ended)
        lost = grpc.ChannelConnectivity.IDLE
        eventually(lambda: lost in states[0], "the connection has ended")
        assert run(stub(other), goes_on, "echo", "there") == b"there\n"
        assert lost not in states[1]


def test_what_runs_in_its_sandbox_ends_as_on_the_gateway(
    gateway: Any, make: Callable[[], str], channel: Callable[[grpc.Channel], Any]
) -> None:
    sandbox_id = make()
    plane = channel(Direct(gateway, sandbox_id).channel())
    replies = plane.StreamExec(frames(sandbox_id, "sleep", "60"), timeout=20)
    assert next(replies).HasField("ready")
    stop(gateway, sandbox_id)
    assert refused(lambda: list(replies)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CWSANDBOX_SANDBOX_NOT_RUNNING",
    )


# ---- daemons without one ----


@pytest.mark.parametrize("arguments", [(), ("--data-plane", "off")], ids=["unix", "off"])
def test_a_daemon_without_a_data_plane_says_so(arguments: tuple[str, ...]) -> None:
    pb = protos.messages()
    token = TOKEN if arguments else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cwsd-")))
        daemon = stack.enter_context(Daemon(folder, token=token, arguments=arguments))
        address = daemon.base_url.removeprefix("http://")
        gateway = Gateway(stack.enter_context(grpc.insecure_channel(address)))
        spec = pb.SandboxSpec(containers=[pb.Container(name="main", image="any")])
        wish = pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec))
        sandbox_id = gateway.CreateSandbox(wish).sandbox_id
        assert refused(lambda: Direct(gateway, sandbox_id)) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "CWSANDBOX_NOT_IMPLEMENTED",
        )
