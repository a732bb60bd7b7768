"""``cwsandbox secrets``."""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path

import pytest

from cli.program import PATH, SECONDS, Program, assert_one_line_error

VALUE = "s3cr3t-value"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setenv("CWSANDBOX_SECRETS_DIR", str(tmp_path / "stores"))
    return Program()


def test_set_list_and_delete(program: Program, tmp_path: Path) -> None:
    done = program.run("secrets", "set", "team", "KEY", stdin=f"{VALUE}\n".encode())
    assert done.stdout == b"Set KEY in team.\n"
    program.run("secrets", "set", "team", "db", "--field", "user", "-q", stdin=b"u")
    content = json.loads((tmp_path / "stores" / "team.json").read_bytes())
    assert content == {"KEY": VALUE, "db": {"user": "u"}}

    done = program.run("secrets", "list")
    assert done.stdout.decode() == (
        f"{'STORE':24} {'SECRET':32} FIELDS\n"
        f"{'-' * 24} {'-' * 32} {'-' * 24}\n"
        f"{'team':24} {'KEY':32} -\n"
        f"{'team':24} {'db':32} user\n"
    )
    done = program.run("secrets", "list", "team", "-o", "json")
    assert json.loads(done.stdout) == [
        {"store": "team", "name": "KEY", "fields": []},
        {"store": "team", "name": "db", "fields": ["user"]},
    ]
    done = program.run("secrets", "delete", "team", "KEY")
    assert done.stdout == b"Deleted KEY from team.\n"


def test_values_keep_their_lines(program: Program, tmp_path: Path) -> None:
    program.run("secrets", "set", "team", "KEY", stdin=b"-----BEGIN\nabc\n\n")
    content = json.loads((tmp_path / "stores" / "team.json").read_bytes())
    assert content == {"KEY": "-----BEGIN\nabc\n"}


def test_another_directory(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    program.run("secrets", "--dir", str(folder), "set", "team", "KEY", stdin=b"x")
    assert (folder / "team.json").exists()
    assert program.run("secrets", "list").stdout == b"No secrets found.\n"


def test_failures_are_one_line(program: Program) -> None:
    assert_one_line_error(program.run("secrets", "list", "team"), "no secret store 'team'")
    assert_one_line_error(program.run("secrets", "delete", "t", "K"), "no secret store 't'")
    failed = program.run("secrets", "set", "../x", "K", stdin=VALUE.encode())
    assert_one_line_error(failed, "no name for a store")
    failed = program.run("secrets", "set", "team", "K", stdin=b"\xff")
    assert_one_line_error(failed, "not UTF-8")


def test_a_full_disk_leaves_the_old_secrets(program: Program, tmp_path: Path) -> None:
    """A limit on the size of files acts like a full disk, but for the program alone."""
    program.run("secrets", "set", "team", "KEY", stdin=VALUE.encode())
    store = tmp_path / "stores" / "team.json"
    before = store.read_bytes()
    done = subprocess.run(
        [PATH, "secrets", "set", "team", "KEY"],
        input=b"other",
        capture_output=True,
        preexec_fn=limit_files,
        timeout=SECONDS,
        check=False,
    )
    assert_one_line_error(done, "File too large", str(store))
    assert store.read_bytes() == before
    assert list(store.parent.iterdir()) == [store]


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
