"""mini-swe-agent's environment in a sandbox, named by its path.

::

    environment:
      environment_class: cwsandbox.integrations.minisweagent.CWSandboxEnvironment
      image: python:3.12
      cwd: /work
"""

from __future__ import annotations

import os
import platform
from typing import Any

from minisweagent.exceptions import Submitted
from minisweagent.utils.serialize import recursive_merge
from pydantic import BaseModel

from cwsandbox import Sandbox
from cwsandbox.exceptions import SandboxTimeoutError

_SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


class CWSandboxEnvironmentConfig(BaseModel):
    """The fields of mini-swe-agent's container environments, and ``sandbox``: further arguments of ``Sandbox()``."""

    image: str | None = None
    cwd: str = "/"
    """Where commands begin. It is made if it is not there."""
    env: dict[str, str] = {}
    forward_env: list[str] = []
    """Variables of this process that commands see, too. ``env`` takes precedence."""
    timeout: float = 30
    """Limit in seconds for a command."""
    interpreter: list[str] = ["bash", "-lc"]
    """What runs a command's text, which is added as the last word."""
    max_output_bytes: int = 8 << 20
    """Of a longer output the middle is left out."""
    sandbox: dict[str, Any] = {}


class CWSandboxEnvironment:
    """Runs each command of the agent in one sandbox, which is created at once."""

    def __init__(self, **settings: Any) -> None:
        self.config = CWSandboxEnvironmentConfig(**settings)
        options = dict(self.config.sandbox)
        if self.config.image is not None:
            options["container_image"] = self.config.image.removeprefix("docker://")
        self.sandbox = Sandbox(**options)
        self.sandbox.start().result()
        if self.config.cwd != "/":
            # Container programs make it, too.
            self.sandbox.exec(["mkdir", "-p", "--", self.config.cwd], check=True).result()

    def execute(
        self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None
    ) -> dict[str, Any]:
        """The command's output, both streams in one. Raises ``Submitted`` when it says that the task is done."""
        # The outer shell joins the streams, in the order in which they are written.
        command = [*self.config.interpreter, action.get("command", "")]
        process = self.sandbox.exec(
            ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh", *command],
            cwd=cwd or self.config.cwd,
            env=self._variables(),
            timeout_seconds=timeout or self.config.timeout,
            max_output_bytes=self.config.max_output_bytes,
        )
        try:
            result = process.result()
        except SandboxTimeoutError as error:
            # The model learns of it. All else is no fault of the command, and ends the run.
            return {
                "output": error.output or "",
                "returncode": -1,
                "exception_info": f"An error occurred while executing the command: {error}",
                "extra": {"exception_type": type(error).__name__, "exception": str(error)},
            }
        finally:
            process.cancel()  # one that has ended stays as it is
        first, _, rest = result.stdout.lstrip().partition("\n")
        if result.returncode == 0 and first.strip() == _SUBMIT:
            extra = {"exit_status": "Submitted", "submission": rest}
            raise Submitted({"role": "exit", "content": rest, "extra": extra})
        return {"output": result.stdout, "returncode": result.returncode, "exception_info": ""}

    def get_template_vars(self, **variables: Any) -> dict[str, Any]:
        merged: dict[str, Any] = recursive_merge(
            self.config.model_dump(), platform.uname()._asdict(), variables
        )
        return merged

    def serialize(self) -> dict[str, Any]:
        name = f"{type(self).__module__}.{type(self).__name__}"
        config = {"environment": self.config.model_dump(mode="json"), "environment_type": name}
        return {"info": {"config": config}}

    def cleanup(self) -> None:
        """Stop the sandbox. Without it, it is stopped at the end of the program."""
        self.sandbox.stop(graceful_shutdown_seconds=0, missing_ok=True).result()

    def _variables(self) -> dict[str, str]:
        forwarded = {
            name: os.environ[name] for name in self.config.forward_env if name in os.environ
        }
        return {**forwarded, **self.config.env}
