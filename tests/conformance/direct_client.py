"""What a client of the direct data plane has: a key, a request for a certificate, an mTLS channel of grpcio."""

from __future__ import annotations

import importlib
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conformance import protos

ALL = (1, 2, 3, 4, 5)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def request(key: Any, name: str | None = None) -> bytes:
    """A certificate request in DER, for nobody unless ``name`` is given."""
    attributes = [] if name is None else [x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def stub(channel: grpc.Channel) -> Any:
    protos.messages()
    module = importlib.import_module("coreweave.sandbox.v1.sandbox_data_plane_pb2_grpc")
    return module.SandboxDataPlaneServiceStub(channel)


class Direct:
    """A certificate for one sandbox, and what it opens."""

    def __init__(self, gateway: Any, sandbox_id: str, permissions: tuple[int, ...] = ALL) -> None:
        pb = protos.messages()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.reply = gateway.ConnectSandbox(
            pb.ConnectSandboxRequest(
                sandbox_id=sandbox_id,
                csr_der=request(self.key),
                requested_permissions=permissions,
            )
        )

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.reply.client_certificate_chain_pem)

    @property
    def address(self) -> str:
        return str(self.reply.endpoint_uri.removeprefix("https://"))

    def channel(self, *, key: bytes | None = None, chain: bytes | None = None) -> grpc.Channel:
        """With this certificate, or another one."""
        return grpc.secure_channel(
            self.address,
            grpc.ssl_channel_credentials(
                self.reply.server_ca_bundle_pem,
                key_pem(self.key) if key is None else key,
                self.reply.client_certificate_chain_pem if chain is None else chain,
            ),
        )
