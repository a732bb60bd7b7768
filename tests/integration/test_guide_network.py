"""The example of docs/guide/network.md, on a daemon with a way out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from code_blocks import blocks
from integration.env import Daemon
from integration.internet import Internet, missing

WHY_NOT = missing() or (None if shutil.which("nft") else "nft is not installed")


@pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
def test_the_guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = blocks("docs/guide/network.md", count=1)
    with Internet(tmp_path) as internet, tempfile.TemporaryDirectory(prefix="cwsd-") as folder:
        prefix = tuple(internet.on_host())
        with Daemon(Path(folder), command_prefix=prefix, arguments=("--egress", "auto")) as daemon:
            monkeypatch.setenv("CWSANDBOX_BASE_URL", daemon.base_url)
            exec(compile(example, "network.md", "exec"), {})
    shown = capsys.readouterr().out
    for rule in ("'pypi.org'", "'*.pythonhosted.org'", "'10.20.0.0/16'", "5432"):
        assert rule in shown
