"""The secret stores of this machine, as files."""

from __future__ import annotations

import json
import os
import threading
from functools import partial
from pathlib import Path

import pytest

from cwsandbox._service import secret_files
from cwsandbox._service.secret_files import Stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path / "stores")


def test_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv(secret_files.DIRECTORY_VARIABLE, raising=False)
    assert secret_files.directory() == Path("/home/me/.config/cwsandbox/secrets")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/settings")
    assert secret_files.directory() == Path("/settings/cwsandbox/secrets")
    monkeypatch.setenv(secret_files.DIRECTORY_VARIABLE, "/mine")
    assert secret_files.directory() == Path("/mine")


def test_secrets_are_set_changed_and_deleted(stores: Stores) -> None:
    assert stores.names() == []
    stores.set("team", "KEY", "one")
    stores.set("team", "KEY", "two")
    stores.set("team", "db", "u", field="user")
    stores.set("team", "db", "p", field="password")
    assert stores.names() == ["team"]
    assert stores.read("team") == {"KEY": "two", "db": {"user": "u", "password": "p"}}
    stores.delete("team", "KEY")
    assert stores.read("team") == {"db": {"user": "u", "password": "p"}}
    stores.delete("team", "db")
    assert stores.names() == []
    assert list(stores.directory.iterdir()) == []


def test_only_their_owner_can_read_them(stores: Stores) -> None:
    before = os.umask(0)
    try:
        stores.set("team", "KEY", "value")
    finally:
        os.umask(before)
    assert stores.directory.stat().st_mode & 0o777 == 0o700
    assert (stores.directory / "team.json").stat().st_mode & 0o777 == 0o600


def test_a_change_that_fails_changes_nothing(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores.set("team", "KEY", "value")
    stores.set("team", "OTHER", "value")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for change in (
        partial(stores.set, "team", "KEY", "other"),
        partial(stores.delete, "team", "KEY"),
    ):
        with pytest.raises(OSError, match="No space") as failed:
            change()
        assert failed.value.filename == str(stores.directory / "team.json")
    assert stores.read("team") == {"KEY": "value", "OTHER": "value"}
    assert [path.name for path in stores.directory.iterdir()] == ["team.json"]


def test_changes_at_the_same_time_are_all_kept(stores: Stores) -> None:
    threads = [
        threading.Thread(target=stores.set, args=("team", f"KEY{i}", str(i))) for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores.read("team") == {f"KEY{i}": str(i) for i in range(8)}


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".x", "a b", "x" * 129])
def test_names_that_are_no_stores(stores: Stores, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a store"):
        stores.set(name, "KEY", "value")
    with pytest.raises(ValueError, match="no name for a store"):
        stores.read(name)


@pytest.mark.parametrize("name", ["", "a=b", "a\0"])
def test_names_that_are_no_secrets(stores: Stores, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a secret"):
        stores.set("team", name, "value")


@pytest.mark.parametrize("value", ["a\0b", "x" * 65537])
def test_values_that_no_variable_can_have(stores: Stores, value: str) -> None:
    with pytest.raises(ValueError, match="at most 65536 bytes and no NUL") as caught:
        stores.set("team", "KEY", value)
    assert value not in str(caught.value)


def test_what_is_not_there(stores: Stores) -> None:
    with pytest.raises(ValueError, match="There is no secret store 'team'"):
        stores.delete("team", "KEY")
    assert not stores.directory.exists()
    stores.set("team", "KEY", "value")
    with pytest.raises(ValueError, match="There is no secret 'NONE' in 'team'"):
        stores.delete("team", "NONE")
    with pytest.raises(ValueError, match="'KEY' of 'team' has no fields"):
        stores.set("team", "KEY", "value", field="user")


@pytest.mark.parametrize("text", ['{"KEY": "s3cr3t"', '["s3cr3t"]', b"\xff s3cr3t"])
def test_a_file_that_is_no_store_is_not_quoted(stores: Stores, text: str | bytes) -> None:
    stores.set("team", "KEY", "value")
    data = text.encode() if isinstance(text, str) else text
    (stores.directory / "team.json").write_bytes(data)
    with pytest.raises(ValueError, match=r"team\.json is not a JSON object") as caught:
        stores.set("team", "KEY", "value")
    assert "s3cr3t" not in str(caught.value)
    assert (stores.directory / "team.json").read_bytes() == data


def test_a_store_that_would_be_too_large(stores: Stores) -> None:
    for i in range(15):
        stores.set("team", f"KEY{i}", "x" * 65536)
    stores.set("team", "KEY15", "x" * 60000)
    with pytest.raises(ValueError, match="at most 1048576 are read"):
        stores.set("team", "KEY16", "x" * 65536)
    assert len(stores.read("team")) == 16
    assert json.loads((stores.directory / "team.json").read_bytes())
