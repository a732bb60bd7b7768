"""What holds for every command: entry, help, failures in one line, credentials."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from cli.program import PATH, Program, assert_one_line_error
from cwsandbox import CWSandboxError, Sandbox, __version__
from cwsandbox.cli import cli
from integration.env import Daemon

Invoke = Callable[..., Result]


def test_help_names_the_program(invoke: Invoke) -> None:
    done = invoke("--help")
    assert done.exit_code == 0
    assert "CWSandbox CLI" in done.output


@pytest.mark.parametrize("words", [[], ["files"]])
def test_without_a_command_it_is_wrong_usage(invoke: Invoke, words: list[str]) -> None:
    done = invoke(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Commands:" in done.stderr


def test_what_takes_long_to_load_is_not_loaded_before_it_is_needed() -> None:
    script = "import sys, cwsandbox.cli; print({'rich', 'asyncio'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", script]) == b"set()\n"


@pytest.mark.parametrize("words", ["exec x ls", "logs x", "files read x /f"])
def test_the_published_class_may_be_replaced(invoke: Invoke, words: str) -> None:
    with patch("cwsandbox.Sandbox.from_id", side_effect=CWSandboxError("replaced")) as from_id:
        assert invoke(*words.split()).stderr == "Error: replaced\n"
    from_id.assert_called_once_with("x", data_plane_mode="auto")


@pytest.mark.parametrize("words", ["ls", "get x", "stop x", "delete x", "files read x /f"])
def test_ctrl_c(invoke: Invoke, words: str) -> None:
    name = {"ls": "list", "delete": "delete"}.get(words.split()[0], "from_id")
    with patch(f"cwsandbox.Sandbox.{name}", side_effect=KeyboardInterrupt):
        done = invoke(*words.split())
    assert (done.exit_code, done.stderr.strip()) == (1, "Aborted!")


@pytest.mark.parametrize("name", sorted({*cli.commands} - {"daemon"}))
def test_every_command_explains_itself(invoke: Invoke, name: str) -> None:
    done = invoke(name, "--help")
    assert done.exit_code == 0
    assert done.output.startswith(f"Usage: cwsandbox {name}")


@pytest.mark.parametrize("words", [[str(PATH)], [sys.executable, "-m", "cwsandbox"]])
def test_both_ways_to_start_it(words: list[str]) -> None:
    done = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(f", version {__version__}\n")


def without(module: str) -> subprocess.CompletedProcess[str]:
    script = (
        f"import sys; sys.modules[{module!r}] = None; from cwsandbox.__main__ import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("missing", ["click", "cwsandbox.cli"])
def test_without_click_two_lines_say_what_to_install(missing: str) -> None:
    done = without(missing)
    assert done.returncode == 1
    assert "pip install cwsandbox[cli]" in done.stderr
    assert done.stderr.count("\n") == 2


def test_another_missing_module_is_not_taken_for_click() -> None:
    done = without("cwsandbox.cli.values")
    assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
    assert "pip install" not in done.stderr


def test_ctrl_c_while_it_still_loads() -> None:
    script = """
        import sys
        class Impatient:
            def find_spec(self, name, path, target=None):
                if name == "click":
                    raise KeyboardInterrupt
        sys.meta_path.insert(0, Impatient())
        from cwsandbox.__main__ import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_no_daemon_there(program: Program) -> None:
    done = program.run("ls", CWSANDBOX_BASE_URL="unix:///nowhere/at/all")
    assert_one_line_error(done, "/nowhere/at/all", "cwsandbox daemon", "CWSANDBOX_BASE_URL")


def test_a_bad_base_url(program: Program) -> None:
    assert_one_line_error(program.run("ls", CWSANDBOX_BASE_URL="ftp://x"), "ftp://x")


def test_a_missing_key_that_was_asked_for(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CWSANDBOX_API_KEY", raising=False)
    done = program.run("--auth", "CoreWeave_API_key", "ls", CWSANDBOX_BASE_URL="unix:///nowhere")
    assert_one_line_error(done, "CWSANDBOX_API_KEY")


def test_a_wandb_key(
    program: Program, base_url: str, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "NETRC", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    home = {"HOME": str(short_folder), "WANDB_CONFIG_DIR": str(short_folder)}
    missing = program.run("--auth", "wandb", "ls", CWSANDBOX_API_KEY="other", **home)
    assert_one_line_error(missing, "WANDB_API_KEY", "wandb login")
    assert b"CWSANDBOX_API_KEY" not in missing.stderr
    token = "t" * 40
    with Daemon(short_folder, token=token) as daemon:
        home |= {"CWSANDBOX_BASE_URL": daemon.base_url, "CWSANDBOX_AUTH": "wandb"}
        accepted = program.run("ls", WANDB_API_KEY=token, **home)
        assert (accepted.returncode, accepted.stdout) == (0, b"No sandboxes found.\n")
        (short_folder / ".netrc").write_text(f"machine api.wandb.ai login user password {token}\n")
        assert program.run("ls", **home).returncode == 0
        assert_one_line_error(program.run("ls", WANDB_API_KEY="u" * 40, **home), "token")


def test_an_unknown_strategy_is_wrong_usage(invoke: Invoke) -> None:
    assert invoke("--auth", "smoke-signals", "ls").exit_code == 2


def test_an_empty_auth_variable_is_none(program: Program) -> None:
    assert program.run("ls", CWSANDBOX_AUTH="").returncode == 0


def test_an_unexpected_exception_is_one_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(Sandbox, "list", broken)
    done = CliRunner().invoke(cli, ["ls"])
    assert done.exit_code == 1
    assert done.stderr == "Error: RuntimeError: first second\n"


@pytest.mark.parametrize("word", ["ls", "--help", "--version", "completion bash", "top"])
def test_a_full_disk_is_one_line(base_url: str, word: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [PATH, *word.split()], stdout=full, stderr=subprocess.PIPE, check=False, timeout=40
        )
    assert done.returncode == 1
    assert done.stderr == b"Error: No space left on device\n"


@pytest.mark.parametrize("words", ["exec ID echo", "files read ID /etc/hostname", "logs ID", "ls"])
def test_closed_standard_streams_are_as_if_nobody_were_there(sandbox_id: str, words: str) -> None:
    script = f'exec "$0" {words.replace("ID", sandbox_id)} <&- >&-'
    done = subprocess.run(["sh", "-c", script, PATH], capture_output=True, check=False, timeout=40)
    assert (done.returncode, done.stderr) == (0, b"")
    script += " 2>&-"
    assert subprocess.run(["sh", "-c", script, PATH], check=False, timeout=40).returncode == 0


@pytest.mark.parametrize("word", ["ls", "--help"])
def test_a_reader_that_is_gone_is_no_failure(program: Program, word: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with program.start(word, stdout=writing, stderr=subprocess.PIPE) as running:
        os.close(writing)
        assert running.communicate(timeout=40)[1] == b""
    assert running.returncode == 0


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_on_a_terminal_unless_unwanted(
    program: Program, sandbox_id: str, no_color: str, coloured: bool
) -> None:
    ours, its = pty.openpty()
    env = {**os.environ, "NO_COLOR": no_color}
    with program.start("get", sandbox_id, stdout=its, env=env) as running:
        os.close(its)
        text = b""
        while b"RETURNCODE" not in text:
            text += os.read(ours, 4096)
        assert running.wait(40) == 0
    os.close(ours)
    assert (b"\x1b[32mrunning" in text) is coloured
