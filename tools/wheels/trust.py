"""Runs in a bare root: certificates are checked against the roots of the system, wherever it keeps them.

The daemon's certificate is its own authority. It is put where each distribution has its roots, and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cwsandbox

LAYOUTS = {
    "Debian": "/etc/ssl/certs/ca-certificates.crt",
    "Fedora": "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "Fedora, the older name": "/etc/pki/tls/certs/ca-bundle.crt",
    "Alpine": "/etc/ssl/cert.pem",
}
CLIENT = """
from cwsandbox import Sandbox
with Sandbox.run() as sandbox:
    print(sandbox.exec(["echo", "trusted"]).result().stdout, end="")
"""


def start_daemon(folder: Path, cert: Path, key: Path) -> tuple[subprocess.Popen[bytes], str]:
    program = Path(cwsandbox.__file__).parent / "bin/cwsandboxd"
    reader, writer = os.pipe()
    command = [str(program), "--listen", "127.0.0.1:0", "--token-file", str(folder / "token")]
    command += ["--tls-cert", str(cert), "--tls-key", str(key), "--ready-fd", str(writer)]
    command += [
        "--state-dir",
        str(folder / "state"),
        "--data-dir",
        str(folder / "data"),
        "--life-fd",
        "0",
    ]
    daemon = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader) as ready:
        words = ready.readline().split()
    if len(words) < 2:
        sys.exit("the daemon did not start")
    return daemon, words[1]


def run_client(url: str, token: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SSL_CERT")}
    env |= {"CWSANDBOX_BASE_URL": url, "CWSANDBOX_API_KEY": token}
    command = [sys.executable, "-c", CLIENT]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def check(url: str, token: str, cert: Path) -> None:
    for path in LAYOUTS.values():
        Path(path).unlink(missing_ok=True)
    nothing = run_client(url, token)
    if "no trusted roots on this system" not in nothing.stderr:
        sys.exit(f"without any roots: {nothing.stdout}{nothing.stderr}")
    for system, path in LAYOUTS.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(cert.read_bytes())
        trusting = run_client(url, token)
        if trusting.stdout != "trusted\n":
            sys.exit(f"{system}, {path}: {trusting.stdout}{trusting.stderr}")
        print(f"roots are found as {system} has them: {path}")
        Path(path).unlink()


def main() -> None:
    cert, key = (Path(__file__).with_name(name) for name in ("cert.pem", "key.pem"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        daemon, url = start_daemon(folder, cert, key)
        try:
            check(url, (folder / "token").read_text().strip(), cert)
        finally:
            daemon.terminate()
            daemon.wait()


if __name__ == "__main__":
    main()
