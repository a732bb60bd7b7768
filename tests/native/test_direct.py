"""What the data plane's policy asks of the native layer: a key, a connection, another way for operations."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from conformance.direct_peer import RETIRING, Authority, DirectPeer, data_calls, refusing
from conformance.grpc_peer import Call, GrpcPeer
from conformance.h2_peer import H2Peer, Stream
from native.conftest import Run

EXEC = 1 << 2
ALL = 0b111100


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def endpoint(authority: Authority) -> Iterator[DirectPeer]:
    made = DirectPeer(tls=authority.server("localhost"), client_roots=authority.roots)
    with closing(made) as peer:
        yield peer


@pytest.fixture
def direct(make_direct: Callable[[], Any]) -> Any:
    """A channel with a certificate for the endpoint, not connected yet."""
    return make_direct()


@pytest.fixture
def make_direct(core: ModuleType, authority: Authority, endpoint: DirectPeer) -> Callable[[], Any]:
    """Each time another channel, with a certificate of its own."""
    return lambda: new_direct(core, authority, endpoint)


def new_direct(core: ModuleType, authority: Authority, endpoint: DirectPeer) -> Any:
    key, csr = core._certificate_request()
    public = x509.load_der_x509_csr(csr).public_key()
    return core.Channel(
        endpoint.base_url,
        roots_pem=authority.roots,
        cert_chain_pem=authority._sign(public, "client", 3600),
        private_key_pem=key,
    )


def serve_where(peer: GrpcPeer, name: bytes) -> None:
    @peer.command("where")
    async def where(call: Call) -> None:
        await call.out(name)
        await call.exit(0)


@pytest.fixture
def both(peer: GrpcPeer, endpoint: DirectPeer) -> None:
    serve_where(peer, b"gateway")
    serve_where(endpoint, b"direct")


def where(sandbox: Any) -> str:
    process = sandbox.exec(["where"])
    assert process.wait() == 0
    return "".join(process.stdout)


def test_a_key_and_a_request_for_it(core: ModuleType) -> None:
    key, csr = core._certificate_request()
    private = serialization.load_pem_private_key(key, None)
    request = x509.load_der_x509_csr(csr)
    assert request.public_key() == private.public_key()
    assert request.is_signature_valid
    assert core._certificate_request()[0] != key


def test_connect(core: ModuleType, direct: Any, endpoint: DirectPeer) -> None:
    assert direct.connect(20).result() is None
    assert direct.connect(None).result() is None
    assert endpoint.metadata == {}  # nothing was asked for


def test_connect_fails(core: ModuleType, authority: Authority, endpoint: DirectPeer) -> None:
    anonymous = core.Channel(endpoint.base_url, roots_pem=authority.roots)
    nobody = core.Channel("unix:///nobody/listens/here")
    for channel, name in ((anonymous, "UNAVAILABLE"), (nobody, "UNAVAILABLE")):
        with pytest.raises(core.RpcError) as caught:
            channel.connect(20).result()
        assert caught.value.code_name == name


def test_connect_takes_no_longer_than_it_may(core: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = core.Channel(f"https://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(core.RpcError) as caught:
            channel.connect(0.05).result()
        assert caught.value.code_name == "DEADLINE_EXCEEDED"
    with pytest.raises(ValueError, match="timeout"):
        channel.connect(-1)


@pytest.mark.usefixtures("both")
def test_operations_take_what_is_connected(sandbox: Any, direct: Any) -> None:
    assert sandbox.is_served
    sandbox.set_direct(direct, ALL, 3600.0, False)
    assert where(sandbox) == "gateway"
    assert not sandbox.is_served  # one has missed it
    direct.connect(20).result()
    assert where(sandbox) == "direct"
    sandbox.set_direct(None, 0, 0.0, False)
    assert where(sandbox) == "gateway"
    assert sandbox.is_served


@pytest.mark.usefixtures("both")
def test_what_a_leaving_endpoint_has_not_begun_goes_to_the_gateway(
    core: ModuleType, sandbox: Any
) -> None:
    """It crosses the endpoint's GOAWAY, and nobody can connect there any more."""

    async def leave(stream: Stream) -> None:
        endpoint._server.close()
        await stream.connection.goaway(0)

    with closing(H2Peer(leave)) as endpoint:
        endpoint.scripted = {"/coreweave.sandbox.v1.SandboxDataPlaneService/StreamExec"}
        channel = core.Channel(endpoint.base_url)
        channel.connect(20).result()
        sandbox.set_direct(channel, ALL, 3600.0, False)
        assert where(sandbox) == "gateway"
        assert len(endpoint.execs) == 1


@pytest.mark.usefixtures("both")
def test_strict_operations_take_nothing_else(
    core: ModuleType, channel: Any, peer: GrpcPeer, direct: Any
) -> None:
    sandbox = core.SandboxCore()
    waiting = sandbox.exec(["where"])
    sandbox.set_direct(direct, EXEC, 3600.0, True)
    before = data_calls(peer)
    sandbox.open(channel, "sb-1")
    assert waiting.wait() == 0
    assert list(waiting.stdout) == ["direct"]
    with pytest.raises(Exception) as caught:
        sandbox.read_file("/f").result()
    assert "does not permit" in str(caught.value.args[1].message)
    assert data_calls(peer) == before


@pytest.mark.usefixtures("both")
def test_strict_operations_wait_once_the_certificate_has_expired(
    sandbox: Any, channel: Any, direct: Any
) -> None:
    sandbox.set_direct(direct, ALL, 0.0, True)
    assert sandbox.is_open
    late = sandbox.exec(["where"])
    assert not sandbox.is_open
    assert not sandbox.is_served
    assert late.poll() is None
    sandbox.set_direct(direct, ALL, 3600.0, True)
    sandbox.open(channel, "sb-1")
    assert late.wait() == 0
    assert list(late.stdout) == ["direct"]


@pytest.mark.usefixtures("both")
def test_refused_operations_wait_until_policy_code_has_another_way(
    core: ModuleType,
    run: Run,
    sandbox: Any,
    channel: Any,
    endpoint: DirectPeer,
    make_direct: Callable[[], Any],
) -> None:
    sandbox.set_direct(make_direct(), ALL, 3600.0, True)
    sandbox.on_refused = print
    refusing(endpoint, grpc.StatusCode.UNAVAILABLE, RETIRING)

    async def main() -> None:
        process = sandbox.exec(["where"])
        async for refused in core.Refusals():
            assert refused is sandbox
            break
        assert sandbox.on_refused is print
        assert not sandbox.is_open
        later = sandbox.exec(["where"])
        serve_where(endpoint, b"direct")
        sandbox.set_direct(make_direct(), ALL, 3600.0, True)
        await process
        assert later.poll() is None
        sandbox.open(channel, "sb-1")
        await later
        assert [*process.stdout, *later.stdout] == ["direct", "direct"]

    run(main())
    sandbox.on_refused = None


@pytest.mark.usefixtures("both")
def test_refused_operations_end_with_what_policy_code_knows_of_the_sandbox(
    core: ModuleType,
    run: Run,
    sandbox: Any,
    channel: Any,
    endpoint: DirectPeer,
    make_direct: Callable[[], Any],
) -> None:
    sandbox.on_refused = print
    refusing(endpoint, grpc.StatusCode.UNAVAILABLE, RETIRING)

    async def main() -> None:
        for start in (lambda: sandbox.exec(["where"]), lambda: sandbox.read_file("/where")):
            sandbox.set_direct(make_direct(), ALL, 3600.0, True)
            sandbox.open(channel, "sb-1")
            operation = start()
            async for _ in core.Refusals():
                break
            waiting = start()
            why = KeyError("gone"), KeyError("not known to run")
            sandbox.evict_refused(why[0])
            sandbox.fail(why[1])
            for ended, failure in zip((operation, waiting), why, strict=True):
                with pytest.raises(Exception) as caught:
                    await ended
                assert caught.value.args[1].failure is failure

    run(main())
    sandbox.on_refused = None
    with pytest.raises(TypeError, match="exception"):
        sandbox.evict_refused("gone")


def test_refused_operations_fail_where_policy_code_does_nothing(
    core: ModuleType, run: Run, sandbox: Any, endpoint: DirectPeer, direct: Any
) -> None:
    sandbox.set_direct(direct, ALL, 3600.0, True)
    refusing(endpoint, grpc.StatusCode.UNAVAILABLE, RETIRING)

    async def main() -> None:
        waiting = asyncio.ensure_future(anext(core.Refusals()))
        with pytest.raises(Exception) as caught:
            await sandbox.read_file("/where")
        assert caught.value.args[1].code_name == "UNAVAILABLE"
        assert not waiting.done()
        waiting.cancel()

    run(main())
    with pytest.raises(TypeError):
        core.Refusals(1)


def test_policy_code_hears_of_operations_when_it_wants_to(core: ModuleType, sandbox: Any) -> None:
    assert sandbox.is_served
    sandbox.wants_serving = True
    assert not sandbox.is_served
    sandbox.wants_serving = False
    assert sandbox.is_served
    sandbox.wants_serving = True
    sandbox.close(KeyError("over"))
    assert sandbox.is_served  # there is nothing to do any more


def test_wrong_arguments(core: ModuleType, sandbox: Any, direct: Any) -> None:
    for arguments, error in (
        ((), TypeError),
        (("channel", 1, 1.0, False), TypeError),
        ((direct, "1", 1.0, False), TypeError),
        ((direct, -1, 1.0, False), OverflowError),
        ((direct, 1, -1.0, False), ValueError),
    ):
        with pytest.raises(error):
            sandbox.set_direct(*arguments)
    assert sandbox.is_served
