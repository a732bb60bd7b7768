"""Templates of the service: made, looked up, deleted. On the policy loop only."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from cwsandbox._lifecycle import pages
from cwsandbox._messages import config, wire
from cwsandbox._service.errors import to_exception
from cwsandbox._service.rpc import Code, RpcFailure
from cwsandbox.exceptions import CWSandboxError, SandboxError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cwsandbox._runtime.environment import Call, Environment

    Message = dict[str, Any]

_SERVICE = "SandboxTemplateService"


def create_request(name: str, given: Mapping[str, Any]) -> Message:
    """The request for a template of this name: a sandbox with these options, and nothing else."""
    workload = config.workload({**given, "template_id": name}, None)
    spec = wire.spec(workload, workload.placement)
    template = {"display_name": name, "spec": spec}
    return {"sandbox_template": template, "request_id": str(uuid.uuid4())}


async def create(call: Call, request: Message, timeout: float) -> Message:
    """The SandboxTemplate that is made."""
    name = request["sandbox_template"]["display_name"]
    return await _ask(call, "Create", request, name, timeout)


async def get(call: Call, template_id: str, timeout: float) -> Message:
    """A SandboxTemplate by its id or name."""
    return await _ask(call, "Get", {"sandbox_template_id": template_id}, template_id, timeout)


async def delete(call: Call, template_id: str, *, missing_ok: bool, timeout: float) -> None:
    """Delete a template. Sandboxes that were made from it stay."""
    request = {"sandbox_template_id": template_id}
    try:
        await _ask(call, "Delete", request, template_id, timeout)
    except SandboxError as error:
        failure = error.__cause__
        is_missing = isinstance(failure, RpcFailure) and failure.code == Code.NOT_FOUND
        if not (missing_ok and is_missing):
            raise


async def _ask(
    call: Call, verb: str, request: Message, template_id: str, timeout: float
) -> Message:
    try:
        return await call(f"{_SERVICE}/{verb}SandboxTemplate", request, timeout)
    except RpcFailure as failure:
        raise _about(failure, f"{verb} template {template_id!r}") from failure


def _about(failure: RpcFailure, operation: str) -> CWSandboxError:
    return to_exception(failure, operation=operation)


async def find(call: Call, env: Environment, timeout: float) -> list[Message]:
    """All SandboxTemplates; ``timeout`` in seconds is for all pages together."""
    operation = "List templates"
    try:
        return await pages.every(
            call,
            env,
            f"{_SERVICE}/ListSandboxTemplates",
            {},
            "sandbox_templates",
            operation=operation,
            timeout=timeout,
            fault=SandboxError,
        )
    except RpcFailure as failure:
        raise _about(failure, operation) from failure
