"""What `pip install .` says on a machine that lacks something: all of it at once, with the Debian packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP_SCRIPT = ROOT / "tools" / "setup_debian.sh"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH of its own, with what the build needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cc", "make", "pkg-config", "as", "ld", "sh"):
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"this machine has no {name}"))
    return folder


def build(programs: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`setup.py build_ext` up to the point where it would call make: a make that fails stands in for it."""
    command = [
        sys.executable,
        "setup.py",
        "build_ext",
        "--build-temp",
        str(programs.parent / "temp"),
    ]
    command += ["--build-lib", str(programs.parent / "lib")]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(programs), **env},
    )


def replace(program: Path, script: str) -> None:
    program.unlink()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_missing_tools_are_named(programs: Path) -> None:
    (programs / "pkg-config").unlink()
    (programs / "make").unlink()
    result = build(programs)
    assert result.returncode != 0
    assert "make not found: install build-essential" in result.stderr
    assert "pkg-config not found: install pkg-config" in result.stderr


def test_where_tools_are_missing_the_libraries_are_named_with_them(programs: Path) -> None:
    (programs / "pkg-config").unlink()
    (programs / "cc").unlink()
    command = build(programs, PYTHON_INCLUDE="/nonexistent").stderr.rpartition("apt-get install ")[
        2
    ]
    libraries = set(re.findall(r'Library\(.*"([a-z0-9-]+)"\)', (ROOT / "setup.py").read_text()))
    assert set(command.split()) == libraries | {"build-essential", "pkg-config", "python3-dev"}


def test_a_compiler_that_cannot_build_a_program_is_named(programs: Path) -> None:
    replace(programs / "cc", "exit 1")
    result = build(programs)
    assert "cc cannot build a program: install build-essential" in result.stderr
    assert "uv.h not found" not in result.stderr


def test_missing_libraries_are_named_together(programs: Path) -> None:
    real = (programs / "pkg-config").resolve()
    hidden = 'case "$2" in libuv | libnghttp2) exit 1 ;; esac'
    replace(programs / "pkg-config", f'{hidden}\nexec {real} "$@"')
    result = build(programs)
    assert result.returncode != 0
    assert "uv.h not found" in result.stderr
    assert "nghttp2/nghttp2.h not found" in result.stderr
    assert "openssl" not in result.stderr
    assert "apt-get install libnghttp2-dev libuv1-dev" in result.stderr
    assert "Traceback" not in result.stderr


def test_header_without_its_library_is_named(programs: Path) -> None:
    real = (programs / "pkg-config").resolve()
    elsewhere = '[ "$1 $2" = "--libs libprotobuf-c" ] && echo -lno-such-library && exit 0'
    replace(programs / "pkg-config", f'{elsewhere}\nexec {real} "$@"')
    result = build(programs)
    assert result.returncode != 0
    assert "libprotobuf-c cannot be linked" in result.stderr
    assert "libprotobuf-c-dev" in result.stderr


def test_with_everything_there_make_is_called_and_its_failure_is_said(programs: Path) -> None:
    replace(programs / "make", 'echo "make $*"; exit 1')
    result = build(programs)
    assert result.returncode != 0
    assert " ext daemon" in result.stdout
    assert "failed, its messages are above" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_setuptools_that_is_too_old_is_named() -> None:
    older = (
        "import runpy, setuptools; setuptools.__version__ = '66.1.1'; runpy.run_path('setup.py')"
    )
    command = [sys.executable, "-c", older]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == "cwsandbox needs setuptools 77 to be built, here is 66.1.1\n"
    assert '"setuptools>=77"' in (ROOT / "pyproject.toml").read_text()


def test_the_setup_script_installs_whatever_the_build_may_name() -> None:
    named = set(re.findall(r'Library\(.*"([a-z0-9-]+)"\)', (ROOT / "setup.py").read_text()))
    named |= {"build-essential", "pkg-config", "python3-dev"}
    assert len(named) >= 7
    script = SETUP_SCRIPT.read_text()
    assert all(package in script for package in named), named


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="not a Debian")
def test_the_setup_script_refuses_unknown_groups() -> None:
    result = subprocess.run([str(SETUP_SCRIPT), "all"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "all" in result.stderr


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="not a Debian")
def test_the_setup_script_does_nothing_where_nothing_is_missing() -> None:
    """It runs here after `make test` has set the machine up."""
    result = subprocess.run(
        [str(SETUP_SCRIPT), "build", "test"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert (result.returncode, result.stdout) == (0, "")
