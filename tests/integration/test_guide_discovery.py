"""The program of docs/guide/discovery.md, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "discovery.md"


@pytest.mark.usefixtures("base_url")
def test_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    [program] = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(program.replace("2 << 30", "1 << 20"), str(GUIDE), "exec"), names)
    assert names["again"].runner_id == names["runner"].runner_id
    printed = capsys.readouterr().out
    assert printed.startswith(f"{names['runner'].runner_id} RunnerResources(available_cpu_millic")
