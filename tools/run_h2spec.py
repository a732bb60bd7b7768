#!/usr/bin/env python3
"""Holds a daemon to h2spec (https://github.com/summerwind/h2spec), whose program must be on PATH.

    tools/run_h2spec.py build/release/bin/cwsandboxd

What may fail is listed here, and docs/wire.md says why. Timing decides which of these do.
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
    (  # the same frames as in the first
        "http2/6.1",
        'Sends a DATA frame on the stream that is not in "open" or "half-closed (local)" state',
    ),
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


def run(h2spec: str, host: str, port: str, report: Path) -> dict[tuple[str, str], bool]:
    """Each case, and whether it passed."""
    words = [h2spec, "-h", host, "-p", port, "-P", PATH, "-o", "2", "-j", str(report)]
    subprocess.run(words, stdout=subprocess.DEVNULL, timeout=300, check=False)
    cases = ElementTree.parse(report).getroot().iter("testcase")
    # An element inside says what went wrong.
    return {(case.attrib["package"], case.attrib["classname"]): not len(case) for case in cases}


def main() -> int:
    h2spec = shutil.which("h2spec")
    if h2spec is None:
        print(f"h2spec is not on PATH: {INSTALL}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="cws-h2spec-") as name:
        daemon, host, port = start_daemon(sys.argv[1], Path(name))
        try:
            passed = run(h2spec, host, port, Path(name) / "report.xml")
        finally:
            daemon.terminate()
            daemon.wait(20)
    failed = {case for case in passed if not passed[case]}
    wrong = [("FAILED", case) for case in sorted(failed - ON_A_CLOSED_STREAM)]
    wrong += [("NO SUCH CASE", case) for case in sorted(ON_A_CLOSED_STREAM - passed.keys())]
    lucky = [("passed", case) for case in sorted(ON_A_CLOSED_STREAM & passed.keys() - failed)]
    for outcome, (package, case) in lucky + wrong:
        print(f"{outcome:12} {package}: {case}")
    listed = len(failed & ON_A_CLOSED_STREAM)
    print(f"h2spec: {len(passed)} cases, {listed} fail as listed, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
