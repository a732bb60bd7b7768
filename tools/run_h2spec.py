#!/usr/bin/env python3
"""Holds a daemon to h2spec (https://github.com/summerwind/h2spec), whose program must be on PATH.

    tools/run_h2spec.py build/release/bin/cwsandboxd

What is expected to fail is listed here, and why it may in docs/wire.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

INSTALL = "go install github.com/summerwind/h2spec/cmd/h2spec@latest"
PATH = "/coreweave.sandbox.v1.SandboxService/GetSandbox"
ON_A_CLOSED_STREAM = {
    ("http2/5.1", "half closed (remote): Sends a DATA frame"),
    ("http2/5.1", "half closed (remote): Sends a HEADERS frame"),
    ("http2/5.1", "closed: Sends a DATA frame after sending RST_STREAM frame"),
    ("http2/5.1", "closed: Sends a HEADERS frame after sending RST_STREAM frame"),
    ("http2/5.1", "closed: Sends a DATA frame"),
    ("http2/5.1", "closed: Sends a HEADERS frame"),
}


def start_daemon(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    """A daemon that nothing is isolated in, as nothing is run; the host and port it listens on."""
    reading, writing = os.pipe()
    options = ["--listen", "127.0.0.1:0", "--token-file", str(folder / "token")]
    options += ["--isolation", "none", "--state-dir", str(folder / "state")]
    daemon = subprocess.Popen(
        [program, *options, "--ready-fd", str(writing)],
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as ready:
        url = ready.readline().removeprefix("ready ").strip()
    host, _, port = url.removeprefix("http://").rpartition(":")
    return daemon, host, port


def failures(h2spec: str, host: str, port: str, report: Path) -> tuple[set[tuple[str, str]], int]:
    """The cases that failed, and the number of all."""
    words = [h2spec, "-h", host, "-p", port, "-P", PATH, "-o", "2", "-j", str(report)]
    subprocess.run(words, stdout=subprocess.DEVNULL, timeout=300, check=False)
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    bad = [case for case in cases if len(case)]  # an element inside says what went wrong
    return {(case.attrib["package"], case.attrib["classname"]) for case in bad}, len(cases)


def main() -> int:
    h2spec = shutil.which("h2spec")
    if h2spec is None:
        print(f"h2spec is not on PATH: {INSTALL}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="cws-h2spec-") as name:
        daemon, host, port = start_daemon(sys.argv[1], Path(name))
        try:
            failed, count = failures(h2spec, host, port, Path(name) / "report.xml")
        finally:
            daemon.terminate()
            daemon.wait(20)
    for package, case in sorted(failed - ON_A_CLOSED_STREAM):
        print(f"FAILED   {package}: {case}")
    unexpected = len(failed - ON_A_CLOSED_STREAM)
    print(f"h2spec: {count} cases, {len(failed) - unexpected} fail as expected, {unexpected} more")
    return 1 if unexpected or not count else 0


if __name__ == "__main__":
    sys.exit(main())
