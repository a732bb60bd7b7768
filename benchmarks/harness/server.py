"""The synthetic server as a process, and the environment in which a client finds it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType


class Server:
    """A running server; leaving the block ends it."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def __enter__(self) -> Server:
        self._folder = tempfile.TemporaryDirectory()
        self._certificate = Path(self._folder.name, "certificate.pem")
        self._process = subprocess.Popen(
            [self._program, "-certificate", self._certificate],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._program} did not start")
        ready = json.loads(line)
        self.plain: str = ready["plain"]
        self.tls: str = ready["tls"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The server ends with its stdin.
        self._process.communicate(timeout=30)
        self._folder.cleanup()

    def url(self, tls: bool) -> str:
        """Under the name that the certificate is for."""
        scheme, address = ("https", self.tls) if tls else ("http", self.plain)
        return f"{scheme}://localhost:{address.rpartition(':')[2]}"

    def environment(self, tls: bool) -> dict[str, str]:
        """What a client is run with: this and nothing else of ours."""
        return {
            **clean_environment(),
            "CWSANDBOX_BASE_URL": self.url(tls),
            "CWSANDBOX_API_KEY": "benchmark",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self._certificate),
        }

    def cpu(self) -> float:
        """Seconds of CPU that the server has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def clean_environment() -> dict[str, str]:
    keep = {"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR"}
    return {name: value for name, value in os.environ.items() if name in keep}
