"""The source archive has what the build needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_package_can_be_built_from_it(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("cc", "make", "pkg-config"))):
        pytest.skip("this machine has no build tools")
    options = ["-q", "egg_info", "--egg-base", tmp_path, "sdist", "--dist-dir", tmp_path]
    made = run(sys.executable, "setup.py", *options, cwd=ROOT)
    assert made.returncode == 0, made.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    # Not carried out: make looks for all that it includes and for every source.
    plan = run("make", "-n", f"BUILD={tmp_path / 'build'}", "ext", "daemon", cwd=unpacked)
    assert plan.returncode == 0, plan.stderr
    assert "cwsandboxd" in plan.stdout
