"""``list_runners()`` and ``get_runner()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cwsandbox._messages import runners as messages
from cwsandbox._runtime import loop
from cwsandbox._service.connection import connection
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand

if TYPE_CHECKING:
    from cwsandbox._service.connection import Connection
    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.runner import Runner


@on_demand
def list_runners(
    *,
    auth: AuthConfig | None = None,
    runner_group_id: str | None = None,
    gpu_type: str | None = None,
    architecture: str | None = None,
    healthy_only: bool = False,
    include_resources: bool = False,
    min_available_cpu_millicores: int | None = None,
    min_available_memory_bytes: int | None = None,
    min_available_gpu_count: int | None = None,
    service_visibility: str | None = None,
) -> list[Runner]:
    """The runners that sandboxes may be placed on. Blocks until all are there, for at most 30 seconds.

    - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
      of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
    - ``runner_group_id``: only those of this group. Default: of all.
    - ``gpu_type``: only those with such GPUs. Default: any.
    - ``architecture``: only those with such processors, for example "amd64". Default: any.
    - ``healthy_only``: only those that take sandboxes now. Default: False.
    - ``include_resources``: also ask what each has free (``Runner.resources``). Default: False.
    - ``min_available_cpu_millicores``: only those with so many thousandths of a processor free. Default: any. This and
      the next two ask for the resources, and leave out runners that do not report them.
    - ``min_available_memory_bytes``: only those with so many bytes of memory free. Default: any.
    - ``min_available_gpu_count``: only those with so many GPUs free. Default: any.
    - ``service_visibility``: only those that can give a service this visibility: "public", "private" or "custom".
      Default: any.

    The service is the one that ``CWSANDBOX_BASE_URL`` of the environment names.

    Raises ``DiscoveryError`` when that fails, ``DiscoveryValidationError`` when the service refuses a field,
    ``CWSandboxAuthenticationError`` when it does not accept the credentials; ``TypeError`` and ``ValueError`` for
    wrong arguments.

    ::

        for runner in list_runners(healthy_only=True, include_resources=True):
            print(runner.runner_id, runner.resources)
    """
    least = {
        "available_cpu_millicores": _amount(
            min_available_cpu_millicores, "min_available_cpu_millicores"
        ),
        "available_memory_bytes": _amount(min_available_memory_bytes, "min_available_memory_bytes"),
        "available_gpu_count": _amount(min_available_gpu_count, "min_available_gpu_count"),
    }
    wanted = {name: amount for name, amount in least.items() if amount is not None}
    request = messages.list_request(
        full=check.boolean(include_resources, "include_resources") or bool(wanted),
        healthy_only=healthy_only,
        service_visibility=service_visibility,
        runner_group_id=runner_group_id,
        gpu_type=gpu_type,
        architecture=architecture,
    )
    where = _connection(auth)

    async def operation() -> list[Runner]:
        from cwsandbox._lifecycle import runners
        from cwsandbox._runtime import environment
        from cwsandbox._service.client import Client

        return await runners.find(Client(where).call, environment.real(), request)

    found = loop.submit(operation).result()
    return [runner for runner in found if _has(runner, wanted)]


@on_demand
def get_runner(runner_id: str, *, organization_id: str, auth: AuthConfig | None = None) -> Runner:
    """One runner, with what it has free. Blocks for at most 30 seconds.

    - ``runner_id``: its id, as in ``Runner.runner_id``.
    - ``organization_id``: whose runner it is, as in ``Runner.organization_id``.
    - ``auth``: credentials, as for ``list_runners()``.

    Raises ``RunnerNotFoundError`` if there is none, ``ValueError`` for a blank id, and else what ``list_runners()``
    does.
    """
    request = messages.get_request(runner_id, organization_id)
    where = _connection(auth)

    async def operation() -> Runner:
        from cwsandbox._lifecycle import runners
        from cwsandbox._service.client import Client

        return await runners.get(Client(where).call, request)

    return loop.submit(operation).result()


def _connection(auth: AuthConfig | None) -> Connection:
    return connection({"auth": auth}, None)


def _amount(value: int | None, name: str) -> int | None:
    return None if value is None else check.integer(value, name)


def _has(runner: Runner, wanted: dict[str, int]) -> bool:
    free = runner.resources
    return not wanted or (
        free is not None and all(getattr(free, name) >= amount for name, amount in wanted.items())
    )
