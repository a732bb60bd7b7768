"""Command lines at the kernel's limits: they run, or what is wrong with them is said."""

from __future__ import annotations

import pytest

from cwsandbox import Sandbox, SandboxValidationError

# For argv and environment each, with 8 bytes for each word's pointer, which the kernel counts too.
LIMIT = 768 * 1024


def words(length: int, program: str) -> list[str]:
    """As many arguments of ``length`` bytes as there may be."""
    room = LIMIT - len(program) - 9
    return [program, *["a" * length] * (room // (length + 9))]


@pytest.mark.parametrize("length", [0, 1, 1000, 128 * 1024 - 1])
def test_as_many_words_as_there_may_be(sandbox: Sandbox, length: int) -> None:
    command = words(length, "true")
    assert sandbox.exec(command).result().returncode == 0
    with pytest.raises(SandboxValidationError, match=r"has \d+ bytes .* at most 786432") as raised:
        sandbox.exec([*command, "a" * length]).result()
    assert [violation.field for violation in raised.value.field_violations] == ["command"]


def test_with_the_largest_environment(base_url: str) -> None:
    variables = {f"V{number}": "v" * 1000 for number in range(LIMIT // 1016)}
    with Sandbox.run(environment_variables=variables) as sandbox:
        assert sandbox.exec(words(1, "true")).result().returncode == 0
