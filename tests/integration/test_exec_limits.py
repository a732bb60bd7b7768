"""Command lines at the kernel's limits: they run, or what is wrong with them is said."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox, SandboxValidationError

# For argv and environment together, with 8 bytes for each word's pointer, which the kernel counts too.
LIMIT = 2 * 1024 * 1024 - 16 * 1024


def charge(texts: list[str]) -> int:
    return sum(len(text) + 9 for text in texts)


def environment_of(sandbox: Sandbox) -> int:
    """What the variables of a command take of the limit."""
    return charge(sandbox.exec(["env", "-0"]).result().stdout.split("\0")[:-1])


def words(length: int, program: str, room: int) -> list[str]:
    """As many arguments of ``length`` bytes as there may be."""
    room -= charge([program])
    return [program, *["a" * length] * (room // (length + 9))]


@pytest.mark.parametrize("cwd", [None, "/usr/lib"])
@pytest.mark.parametrize("length", [0, 1, 1000, 128 * 1024 - 1])
def test_as_many_words_as_there_may_be(sandbox: Sandbox, length: int, cwd: str | None) -> None:
    command = words(length, "true", LIMIT - environment_of(sandbox))
    assert sandbox.exec(command, cwd=cwd).result().returncode == 0
    with pytest.raises(SandboxValidationError, match=r"has \d+ bytes .* at most 2080768") as raised:
        sandbox.exec([*command, "a" * length], cwd=cwd).result()
    assert [violation.field for violation in raised.value.field_violations] == ["command"]


def test_for_a_script_whose_first_line_adds_words(sandbox: Sandbox) -> None:
    script = "/tmp/" + "long-name/" * 400 + "script"
    made = sandbox.exec(
        [
            "sh",
            "-c",
            'mkdir -p "${1%/*}" && printf "#!/bin/sh -e\\nexit 9\\n" > "$1" && chmod +x "$1"',
            "sh",
            script,
        ]
    )
    assert made.result().returncode == 0
    command = words(1000, script, LIMIT - environment_of(sandbox))
    assert sandbox.exec(command).result().returncode == 9


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_with_a_large_environment(base_url: str, share: float) -> None:
    count = int(LIMIT * share) // 1016
    variables = {f"V{number:05}": "v" * 1000 for number in range(count)}
    with Sandbox.run(environment_variables=variables) as sandbox:
        room = LIMIT - environment_of(sandbox)
        assert sandbox.exec(words(1, "true", room)).result().returncode == 0
