"""Who gets past the TLS handshake of our daemon's data plane: forged and foreign certificates, and old sessions."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from conformance.direct_client import Direct, key_pem
from conformance.test_daemon_direct import daemon, gateway, make  # noqa: F401

HOUR = timedelta(hours=1)
# The client's preface of HTTP/2, with empty SETTINGS.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@pytest.fixture
def direct(gateway: Any, make: Callable[[], str]) -> Iterator[Direct]:  # noqa: F811
    return Direct(gateway, make())


class Dialler:
    """Makes connections to the data plane with whatever certificate."""

    def __init__(self, direct: Direct, folder: Path) -> None:
        host, port = direct.address.split(":")
        self._address = host, int(port)
        self._roots = direct.reply.server_ca_bundle_pem.decode()
        self._file = folder / "client.pem"

    def context(
        self, key: ec.EllipticCurvePrivateKey, chain: bytes, version: ssl.TLSVersion
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._roots)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        self._file.write_bytes(key_pem(key) + chain)
        context.load_cert_chain(self._file)
        return context

    def greet(
        self, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> ssl.SSLSocket:
        """Connected, and answered. ``OSError``: not let in."""
        plain = socket.create_connection(self._address, timeout=20)
        tls = context.wrap_socket(plain, server_hostname=self._address[0], session=session)
        tls.sendall(PREFACE)
        if not tls.recv(100):
            raise ConnectionResetError("closed")
        return tls


@pytest.fixture
def dialler(direct: Direct, tmp_path: Path) -> Dialler:
    return Dialler(direct, tmp_path)


VERSIONS = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
)


@VERSIONS
def test_no_session_outlives_its_connection(
    direct: Direct, dialler: Dialler, version: ssl.TLSVersion
) -> None:
    context = dialler.context(direct.key, direct.reply.client_certificate_chain_pem, version)
    with dialler.greet(context) as first:
        session = first.session
        assert session is None or not (session.has_ticket or session.id)
    with dialler.greet(context, session) as second:
        assert not second.session_reused


def forged(
    key: ec.EllipticCurvePrivateKey,
    direct: Direct,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
) -> bytes:
    """What a certificate for all sandboxes' data would say, as if ``issuer`` had signed it."""
    uri = direct.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(direct.certificate.serial_number)
        .not_valid_before(now - HOUR)
        .not_valid_after(now + HOUR)
        .add_extension(uri, critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .add_extension(key_id, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@VERSIONS
def test_another_authority_of_the_same_name(
    direct: Direct, dialler: Dialler, version: ssl.TLSVersion
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate(direct.reply.server_ca_bundle_pem)
    chain = forged(key, direct, ec.generate_private_key(ec.SECP256R1()), authority)
    with pytest.raises(OSError):
        dialler.greet(dialler.context(key, chain, version))


@VERSIONS
def test_who_has_a_certificate_is_no_authority(
    direct: Direct, dialler: Dialler, version: ssl.TLSVersion
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain = forged(key, direct, direct.key, direct.certificate)
    chain += direct.reply.client_certificate_chain_pem
    with pytest.raises(OSError):
        dialler.greet(dialler.context(key, chain, version))
