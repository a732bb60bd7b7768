"""A private certificate authority and what it has signed, as files."""

from __future__ import annotations

from pathlib import Path

import trustme


class Certs:
    """``ca`` signs ``server`` (localhost, 127.0.0.1, ::1) and ``client``; ``other_ca`` has signed nothing of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self.other_ca = folder / "other-ca.pem"
        trustme.CA().cert_pem.write_to_path(str(self.other_ca))
        self.server_cert, self.server_key = self._issue(
            authority, folder, "server", "localhost", "127.0.0.1", "::1"
        )
        self.client_cert, self.client_key = self._issue(
            authority, folder, "client", "client@example.org"
        )
        self.wrong_name_cert, self.wrong_name_key = self._issue(
            authority, folder, "wrong-name", "elsewhere.example.org"
        )

    @staticmethod
    def _issue(
        authority: trustme.CA, folder: Path, name: str, *identities: str
    ) -> tuple[Path, Path]:
        issued = authority.issue_cert(*identities)
        cert, key = folder / f"{name}.pem", folder / f"{name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return cert, key
