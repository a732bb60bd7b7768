"""The program of docs/guide/discovery.md, as it stands there."""

from __future__ import annotations

from typing import Any

import pytest

from code_blocks import blocks


@pytest.mark.usefixtures("base_url")
def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    [program] = blocks("docs/guide/discovery.md", count=1)
    names: dict[str, Any] = {}
    exec(compile(program.replace("2 << 30", "1 << 20"), "discovery.md", "exec"), names)
    assert names["again"].runner_id == names["runner"].runner_id
    printed = capsys.readouterr().out
    assert printed.startswith(f"{names['runner'].runner_id} RunnerResources(available_cpu_millic")
