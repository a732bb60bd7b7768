"""Secrets of the daemon's stores in the variables of a sandbox, and nowhere else."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from code_blocks import blocks
from cwsandbox import Sandbox, Secret
from cwsandbox._service.secret_files import Stores
from cwsandbox.exceptions import CWSandboxError
from integration.env import Daemon

PROJECT = Path(__file__).parents[2]
VALUE = "s3cr3t-value\nof two lines"


@pytest.fixture
def stores(short_folder: Path) -> Stores:
    stores = Stores(short_folder / "secrets")
    stores.set("team", "KEY", VALUE)
    stores.set("team", "db", "u", field="user")
    return stores


@pytest.fixture
def daemon_with_stores(
    short_folder: Path, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    arguments = (f"--secrets-dir={stores.directory}",)
    with Daemon(short_folder / "d", arguments=arguments) as running:
        monkeypatch.setenv("CWSANDBOX_BASE_URL", running.base_url)
        yield running


def test_every_command_has_them(daemon_with_stores: Daemon) -> None:
    secrets = [
        Secret(store="team", name="KEY"),
        Secret(store="team", name="db", field="user", env_var="DB_USER"),
    ]
    with Sandbox.run("sh", "-c", 'echo "$DB_USER"; sleep infinity', secrets=secrets) as sandbox:
        assert sandbox.exec(["sh", "-c", 'printf %s "$KEY"']).result().stdout == VALUE
        assert next(iter(sandbox.stream_logs(follow=True))) == "u\n"


def test_a_secret_goes_before_a_variable_of_its_name(daemon_with_stores: Daemon) -> None:
    secrets = [{"store": "team", "name": "db", "field": "user", "env_var": "WHO"}]
    with Sandbox.run(secrets=secrets, environment_variables={"WHO": "nobody"}) as sandbox:
        assert sandbox.exec(["sh", "-c", "echo $WHO"]).result().stdout == "u\n"


def test_values_are_in_no_echo_and_no_command_line(daemon_with_stores: Daemon) -> None:
    """A value is in the environment of the sandbox's own processes alone."""
    with Sandbox.run(secrets=[Secret(store="team", name="KEY")]) as sandbox:
        sandbox.exec(["true"]).result()
        sandbox.get_status()
        assert "s3cr3t" not in repr(sandbox) + repr(vars(sandbox._handle.echo))
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            assert b"s3cr3t" not in command
    assert "s3cr3t" not in daemon_with_stores.stderr_path.read_text()


def test_a_change_holds_for_the_next_sandbox(daemon_with_stores: Daemon, stores: Stores) -> None:
    secrets = [Secret(store="team", name="KEY")]
    with Sandbox.run(secrets=secrets) as before:
        stores.set("team", "KEY", "new")
        with Sandbox.run(secrets=secrets) as after:
            show = ["sh", "-c", "printf %s $KEY"]
            assert after.exec(show).result().stdout == "new"
            assert before.exec(["printenv", "KEY"]).result().stdout == VALUE + "\n"


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (Secret(store="other", name="KEY"), "CWSANDBOX_SECRET_STORE_NOT_PROVISIONED"),
        (Secret(store="team", name="NONE"), "CWSANDBOX_PRECONDITION_FAILED"),
        (Secret(store="../team", name="KEY"), "CWSANDBOX_INVALID_REQUEST"),
    ],
)
def test_what_is_not_there_makes_no_sandbox(
    daemon_with_stores: Daemon, secret: Secret, reason: str
) -> None:
    with pytest.raises(CWSandboxError) as caught:
        Sandbox.run(secrets=[secret]).wait()
    assert caught.value.reason == reason
    assert Sandbox.list(show_terminated=True).result() == []


def test_without_stores_there_are_none(base_url: str) -> None:
    with pytest.raises(CWSandboxError) as caught:
        Sandbox.run(secrets=[Secret(store="team", name="KEY")]).wait()
    assert caught.value.reason == "CWSANDBOX_SECRET_STORE_NOT_PROVISIONED"


def test_a_directory_that_others_may_enter_is_refused(short_folder: Path, stores: Stores) -> None:
    os.chmod(stores.directory, 0o755)
    daemon = Daemon(short_folder / "d", arguments=(f"--secrets-dir={stores.directory}",))
    with pytest.raises(Exception, match="mode 0700"), daemon:
        pass


def test_a_private_daemon_has_this_users_stores(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cwsandbox._service import local

    local._end()
    monkeypatch.setenv("CWSANDBOX_SECRETS_DIR", str(stores.directory))
    monkeypatch.setenv("CWSANDBOX_BASE_URL", "local")
    with Sandbox.run(secrets=[Secret(store="team", name="db", field="user")]) as sandbox:
        assert sandbox.exec(["printenv", "db"]).result().stdout == "u\n"
    local._end()


def test_the_examples_and_the_guide(
    daemon_with_stores: Daemon, stores: Stores, capsys: pytest.CaptureFixture[str]
) -> None:
    stores.set("team", "API_KEY", "0123456789")
    stores.set("team", "db", "p", field="password")
    runpy.run_path(str(PROJECT / "examples" / "secrets.py"))
    assert capsys.readouterr().out == "10 characters\n"
    stores.set("team", "DEPLOY_KEY", "abcdef")
    runpy.run_path(str(PROJECT / "examples" / "secrets_async.py"))
    assert capsys.readouterr().out == "['API_KEY']\n['API_KEY', 'TOKEN']\n[]\n"
    (example,) = blocks("docs/guide/secrets.md", count=1)
    exec(compile(example, "secrets.md", "exec"), {})
    assert capsys.readouterr().out == "10\n"
