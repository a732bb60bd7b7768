"""``cwd=`` changes where a command starts, and nothing else."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox, SandboxValidationError


def outcome(sandbox: Sandbox, command: list[str], cwd: str | None) -> tuple[str, str, int]:
    result = sandbox.exec(command, cwd=cwd).result()
    return result.stdout, result.stderr, result.returncode


def same_in_both(sandbox: Sandbox, command: list[str]) -> tuple[str, str, int]:
    """What a command leaves, which is the same with and without a directory."""
    plain = outcome(sandbox, command, None)
    assert outcome(sandbox, command, "/usr/lib") == plain
    return plain


@pytest.mark.parametrize("cwd", ["/", "/usr/bin", "/usr/../usr/lib", "/usr//lib/", "/var/tmp"])
def test_the_directory_is_entered(sandbox: Sandbox, cwd: str) -> None:
    plain = outcome(sandbox, ["sh", "-c", f"cd {cwd} && pwd -P"], None)
    assert outcome(sandbox, ["pwd", "-P"], cwd) == plain


@pytest.mark.parametrize("name", ["-dash", "two words", "it's", "$HOME", "new\nline", "\u00fcber"])
def test_names_that_a_shell_would_read(sandbox: Sandbox, name: str) -> None:
    path = f"/tmp/{name}"
    assert sandbox.exec(["mkdir", "--", path]).result().returncode == 0
    assert outcome(sandbox, ["pwd", "-P"], path) == (path + "\n", "", 0)


def test_a_relative_program_is_looked_up_in_it(sandbox: Sandbox) -> None:
    assert outcome(sandbox, ["./true"], "/usr/bin") == ("", "", 0)


def test_variables_that_are_no_names_of_a_shell_stay(base_url: str) -> None:
    variables = {
        "my.var": "dotted",
        "A-B": "dashed",
        "BASH_FUNC_greet%%": '() { echo "hello from a function"; }',
    }
    with Sandbox.run(environment_variables=variables) as sandbox:
        printed, _, _ = same_in_both(sandbox, ["env", "-u", "PWD"])
        lines = printed.splitlines()
        assert "my.var=dotted" in lines
        assert "A-B=dashed" in lines
        assert same_in_both(sandbox, ["bash", "-c", "greet"]) == ("hello from a function\n", "", 0)


def test_no_variable_is_added(sandbox: Sandbox) -> None:
    same_in_both(sandbox, ["env"])


def test_many_words(sandbox: Sandbox) -> None:
    words = [f"{number:03}" + "w" * 197 for number in range(1000)]
    printed, _, code = same_in_both(sandbox, ["printf", "%s\\n", *words])
    assert (printed.splitlines(), code) == (words, 0)


@pytest.mark.parametrize(
    ("cwd", "reason"),
    [
        ("/no/such/place", "No such file or directory"),
        ("/etc/passwd", "Not a directory"),
        ("/" + "d" * 300, "File name too long"),
    ],
)
def test_a_directory_that_cannot_be_entered(sandbox: Sandbox, cwd: str, reason: str) -> None:
    message = f"cwsandbox: cannot change to directory {cwd}: {reason}\n"
    assert outcome(sandbox, ["true"], cwd) == ("", message, 126)


def test_a_missing_program_is_told_as_ever(sandbox: Sandbox) -> None:
    assert same_in_both(sandbox, ["no-such-program"]) == (
        "",
        "cwsandbox: no-such-program: No such file or directory\n",
        127,
    )


def test_signals_and_exit_codes_are_the_command_s(sandbox: Sandbox) -> None:
    assert same_in_both(sandbox, ["sh", "-c", "exit 42"]) == ("", "", 42)
    assert same_in_both(sandbox, ["sh", "-c", "kill -KILL $$"])[2] == 128 + 9


def test_a_command_that_waits_for_its_sandbox(base_url: str) -> None:
    with Sandbox() as sandbox:
        assert outcome(sandbox, ["pwd", "-P"], "/usr/lib") == ("/usr/lib\n", "", 0)


def test_a_sandbox_that_was_looked_up(sandbox: Sandbox) -> None:
    assert sandbox.sandbox_id is not None
    found = Sandbox.from_id(sandbox.sandbox_id).result()
    listed = [s for s in Sandbox.list().result() if s.sandbox_id == sandbox.sandbox_id]
    for other in (found, *listed):
        message = "cwsandbox: cannot change to directory /none: No such file or directory\n"
        assert outcome(other, ["true"], "/none") == ("", message, 126)
    assert len(listed) == 1


@pytest.mark.parametrize("cwd", ["/usr", None])
def test_more_words_than_the_kernel_takes(sandbox: Sandbox, cwd: str | None) -> None:
    with pytest.raises(SandboxValidationError, match="at most 2080768") as raised:
        sandbox.exec(["true", *["w" * 100_000] * 21], cwd=cwd).result()
    assert [violation.field for violation in raised.value.field_violations] == ["command"]
