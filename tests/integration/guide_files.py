"""The files that the guide's examples take for granted, put into a sandbox through an exec's stdin."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

from cwsandbox import Sandbox

LONG_SCRIPT = """\
for step in range(3):
    print(f"step {step}", flush=True)
"""
# Runs until it is told to end.
SERVER_SCRIPT = """\
import os, sys, time
while not os.path.exists("/tmp/end"):
    time.sleep(0.02)
sys.exit(7)
"""
TASK_SCRIPT = "print('task done')\n"
SCRIPT_USING_REQUESTS = "import requests\nprint(requests.__name__, requests.STAND_IN)\n"


def put(sandbox: Sandbox, path: str, content: bytes | str) -> None:
    data = content.encode() if isinstance(content, str) else content
    process = sandbox.exec(["sh", "-c", f"cat > {path}"], stdin=True)
    assert process.stdin is not None
    process.stdin.write(data).result()
    process.stdin.close().result()
    result = process.result()
    assert result.returncode == 0, result.stderr


def requests_wheel() -> tuple[str, bytes]:
    """File name and content of a wheel named `requests`: there is no network to get the real one from."""
    files = {
        "requests.py": "STAND_IN = True\n",
        "requests-0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: requests\nVersion: 0.1\n",
        "requests-0.1.dist-info/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = "".join(f"{name},{_digest(text)},{len(text)}\n" for name, text in files.items())
    files["requests-0.1.dist-info/RECORD"] = record + "requests-0.1.dist-info/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return "requests-0.1-py3-none-any.whl", buffer.getvalue()


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# What lets `pip install requests` find the wheel in /tmp.
PIP_ENVIRONMENT = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tmp"}
