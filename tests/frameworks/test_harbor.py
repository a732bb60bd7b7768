"""Harbor's adapter for CoreWeave's sandboxes, as Harbor brings it, on a daemon of this host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from code_blocks import blocks

TASK = {
    "task.toml": """\
version = "1.0"

[agent]
timeout_sec = 60

[verifier]
timeout_sec = 60

[environment]
docker_image = "python:3.11"
cpus = 1
memory_mb = 512
storage_mb = 256
""",
    "instruction.md": "Write the word done into /app/answer.txt.\n",
    "solution/solve.sh": "#!/bin/bash\nmkdir -p /app && echo done > /app/answer.txt\n",
    "tests/test.sh": """\
#!/bin/bash
if [ "$(cat /app/answer.txt)" = done ]; then reward=1; else reward=0; fi
echo $reward > /logs/verifier/reward.txt
""",
}


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "small-task"
    for name, content in TASK.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "environment").mkdir()
    return folder


def run(command: str, folder: Path) -> dict:
    """Harbor's verdict on the task in the folder."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            # Or it imports LiteLLM, which looks for prices in the Internet, and tells its makers of the run.
            "HARBOR_TELEMETRY": "0",
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = folder.glob("jobs/*/*/result.json")
    return json.loads(result.read_text())


@pytest.mark.timeout(170)
@pytest.mark.parametrize(("agent", "reward"), [("oracle", 1.0), ("nop", 0.0)])
def test_the_guide(task: Path, agent: str, reward: float) -> None:
    (script,) = blocks("docs/guide/harbor.md", "sh", count=1)
    result = run(script.replace("oracle", agent), task.parent)
    assert result["exception_info"] is None, result
    assert result["verifier_result"]["rewards"] == {"reward": reward}
