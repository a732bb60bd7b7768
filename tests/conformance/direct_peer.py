"""A sandbox's own endpoint on grpcio with mTLS, and an authority that signs what ConnectSandbox is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conformance import protos
from conformance.grpc_peer import Call, GrpcPeer
from cwsandbox import Sandbox
from integration.env import eventually

DATA = ("StreamExec", "StreamLogs", "ReadFile", "WriteFile")
PERMISSIONS = (2, 3, 4, 5)
KEY = "the-key-0123456789"
RETIRING = "CWSANDBOX_RUNNER_SHARD_RETIRING"


class DirectPeer(GrpcPeer):
    """Serves the data plane and nothing else, to those with a certificate of its authority."""

    service = "SandboxDataPlaneService"

    def calls(self) -> int:
        return data_calls(self)

    def end(self) -> None:
        """Its connections break, and there are no new ones."""
        self._thread.run(self._server.stop(0))


def data_calls(peer: GrpcPeer) -> int:
    """How many data operations have come here."""
    return sum(len(peer.metadata.get(name, ())) for name in DATA)


def asked(gateway: GrpcPeer) -> int:
    """How many certificates it was asked for."""
    return len(gateway.metadata.get("ConnectSandbox", ()))


def where(sandbox: Sandbox) -> str:
    """Where a command is served."""
    return str(sandbox.exec(["where"]).result().stdout)


def serve(peer: GrpcPeer, name: bytes) -> None:
    """Commands, files and logs say where they were served."""

    @peer.command("where")
    async def where(call: Call) -> None:
        await call.out(name)
        await call.exit(0)

    @peer.command("cat")
    async def cat(call: Call) -> None:
        await call.ready()
        async for data in call.stdin():
            await call.out(data)
        await call.exit(0)

    async def log(request: Any, context: Any) -> None:
        await context.write(peer.pb.LogEntry(data=name + b"\n"))

    peer.files["/where"] = name
    peer.logs = [log]


def refusing(peer: DirectPeer, code: grpc.StatusCode, reason: str | None) -> list[str]:
    """From now on the peer refuses everything; what was begun there is in the list."""
    begun: list[str] = []

    @peer.command("where")
    async def refuse_command(call: Call) -> None:
        begun.append("exec")
        await peer.fail(call.context, code, reason)

    async def refuse(request: Any, context: Any) -> None:
        begun.append(type(request).__name__)
        await peer.fail(context, code, reason)

    peer.overrides |= {"ReadFile": refuse, "WriteFile": refuse}
    peer.logs = [refuse]
    return begun


def end_and_see(peer: DirectPeer) -> None:
    """End it, and wait until this process has closed its connections to it."""
    port = int(peer.base_url.rpartition(":")[2])
    remote = f"0100007F:{port:04X}"
    peer.end()

    def is_connected() -> bool:
        lines = Path("/proc/self/net/tcp").read_text().splitlines()[1:]
        pairs = [(line.split()[2], line.split()[3]) for line in lines]
        return any(pair in ((remote, "01"), (remote, "08")) for pair in pairs)  # or closed there

    eventually(lambda: not is_connected(), "the connections are closed")


class Authority:
    """Signs requests, and keeps them."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.requests: list[Any] = []
        self._key = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        self._cert = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())

    @property
    def roots(self) -> bytes:
        return self.ca.cert_pem.bytes()

    def server(self, *names: str, common_name: str | None = None) -> tuple[bytes, bytes]:
        """Key and certificate of a server. Without names only the common name says who it is."""
        if names:
            issued = self.ca.issue_cert(*names, common_name=common_name)
            return issued.private_key_pem.bytes(), issued.cert_chain_pems[0].bytes()
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return pem, self._sign(key.public_key(), common_name or "", 3600)

    def _sign(self, key: Any, name: str, seconds: float) -> bytes:
        attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(attributes))
            .issuer_name(self._cert.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(seconds=seconds))
        )
        signed = builder.sign(self._key, hashes.SHA256())  # type: ignore[arg-type]
        return signed.public_bytes(serialization.Encoding.PEM)

    def answer(
        self, endpoint: str, *, seconds: float = 3600, **changes: Any
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        """Replies to ConnectSandbox with a certificate for ``endpoint``; ``changes`` are to the reply's fields."""
        pb = protos.messages()

        async def connect(request: Any, context: Any) -> Any:
            self.requests.append(request)
            csr = x509.load_der_x509_csr(request.csr_der)
            reply = pb.SandboxConnection(
                endpoint_uri=endpoint,
                client_certificate_chain_pem=self._sign(csr.public_key(), "client", seconds),
                server_ca_bundle_pem=self.roots,
                endpoint_id="endpoint-1",
                transport=1,
                protocol=1,
                granted_permissions=request.requested_permissions,
            )
            reply.expires_at.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
            for name, value in changes.items():
                reply.ClearField(name)
                if isinstance(value, (list, tuple)):
                    getattr(reply, name).extend(value)
                elif value is not None:
                    setattr(reply, name, value)
            return reply

        return connect
