"""``RemoteFunction``: a Python function that runs in a sandbox of its own."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from cwsandbox._messages.files import FILE_MAX
from cwsandbox._runtime import loop
from cwsandbox._session import call, capture, source
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.coerce import instance
from cwsandbox._types.serialization import Serialization
from cwsandbox._types.single import Single
from cwsandbox.exceptions import AsyncFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cwsandbox._cwsandbox import OperationRef
    from cwsandbox._session.session import Session
    from cwsandbox._types.container import SecurityContext
    from cwsandbox._types.enums import DataPlaneMode, PlacementSpillover
    from cwsandbox._types.network import NetworkOptions
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ObjectStorageAccess
    from cwsandbox._types.volume import FileSystemSnapshotOptions

P = ParamSpec("P")
R = TypeVar("R")

# The options of the sandbox; the session's defaults have the others.
_OF_SANDBOX = (
    "container_image",
    "runner_ids",
    "resources",
    "mounted_files",
    "network",
    "services",
    "volumes",
    "file_system_snapshot",
    "placement_mode",
    "placement_spillover",
    "runtime_class",
    "security_context",
    "working_dir",
    "object_storage_access",
    "environment_variables",
    "annotations",
    "request_timeout_seconds",
    "data_plane_mode",
)


@on_demand
class RemoteFunction(Single, Generic[P, R]):
    """A function whose calls each run in a fresh sandbox. ``Session.function`` makes it of a plain one.

    ::

        with Session() as session:

            @session.function()
            def add(x: int, y: int) -> int:
                return x + y

            print(add.remote(1, 2).result())
            print(cwsandbox.results(add.map([(1, 2), (3, 4)])))
            print(add.local(1, 2))

    The sandbox needs ``python3`` of version 3.11 or later, and nothing of this package. The function's source is sent,
    with what it refers to: variables, functions and classes of the program. Modules are imported there.
    """

    _instead = "pass the plain function instead"

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        session: Session,
        container_image: str | None = None,
        temp_dir: str = "/tmp",
        runner_ids: list[str] | None = None,
        resources: ResourceOptions | dict[str, Any] | None = None,
        mounted_files: list[dict[str, Any]] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        services: list[Any] | None = None,
        volumes: list[Any] | None = None,
        file_system_snapshot: FileSystemSnapshotOptions | dict[str, Any] | None = None,
        placement_mode: Any | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        runtime_class: str | None = None,
        security_context: SecurityContext | dict[str, Any] | None = None,
        working_dir: str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        environment_variables: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        request_timeout_seconds: float | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        serialization: Serialization | str = Serialization.JSON,
    ) -> None:
        """Make a remote function of ``fn``. Nothing is sent.

        - ``fn``: the function. ``AsyncFunctionError`` for an async one: let a plain one call ``asyncio.run()``.
        - ``session``: whose defaults the sandboxes have, and which stops those that still run when it is closed.
        - ``temp_dir``: the directory in the sandbox for arguments and results. It is made if it is not there. Default:
          "/tmp".
        - ``serialization``: how arguments and results travel: "json" (the default), or "pickle" for values that JSON
          does not have.
          With "pickle" the sandbox can run any code in this process, since to unpickle its result may do anything.

        The others are those of ``Session.sandbox``, for the sandbox of each call: ``container_image``,
        ``runner_ids``, ``resources``, ``mounted_files``, ``network``, ``services``, ``volumes``,
        ``file_system_snapshot``, ``placement_mode``, ``placement_spillover``, ``runtime_class``,
        ``security_context``, ``working_dir``, ``object_storage_access``, ``environment_variables``,
        ``annotations``, ``request_timeout_seconds`` (which limits the function's run, too) and ``data_plane_mode``.
        Faults in them are raised by the operation of a call.
        """
        if not callable(fn) or not hasattr(fn, "__name__"):
            raise TypeError(f"a remote function is made of a function, not of {check.shown(fn)}")
        inner = source.innermost(fn)
        if inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner):
            raise AsyncFunctionError(
                f"function {fn.__name__!r} is async, and only plain functions can be remote: let a plain one call it "
                "with asyncio.run()"
            )
        if inspect.ismethod(inner):
            raise TypeError(
                f"{check.shown(fn)} is bound to an object of this process: make the function itself remote"
            )
        if network is not None:
            from cwsandbox._types.network import NetworkOptions

            network = instance(network, NetworkOptions, "network")
        given = locals()
        self._fn = fn
        self._session = session
        self._options = {name: given[name] for name in _OF_SANDBOX if given[name] is not None}
        self._temp_dir = check.text(temp_dir, "temp_dir")
        self._serialization = check.choice(serialization, Serialization, "serialization")
        self.__name__ = fn.__name__
        self.__doc__ = fn.__doc__
        self.__module__ = fn.__module__
        self.__qualname__ = getattr(fn, "__qualname__", fn.__name__)
        self.__annotations__ = getattr(fn, "__annotations__", {})

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> OperationRef[R]:
        """Call it in a sandbox. Returns at once; the operation gives the result when the sandbox has been stopped.

        - ``args``, ``kwargs``: its arguments. As JSON, tuples become lists on their way, and keys of dicts must be
          str; the same goes for the result, where other keys become str.

        All failures are the operation's: ``TypeError``, ``ValueError`` and ``OSError`` for what cannot be sent, and
        ``SandboxExecutionError`` when the function raises or ends otherwise. That has ``exception_type`` and
        ``exception_message``, the traceback as a note, and what was printed in ``exec_result``. If the task
        that awaits the operation is cancelled, the sandbox is stopped.
        """
        try:
            prepared = self._prepare(args, kwargs)
        except Exception as error:
            return _failed(error)
        return loop.submit(lambda: call.run(prepared))

    def map(self, items: Iterable[tuple[Any, ...]]) -> list[OperationRef[R]]:
        """Call it for each of ``items``, all at once, each in a sandbox of its own.

        - ``items``: an iterable of tuples: the positional arguments of each call. ``TypeError`` for another item,
          before any call begins.

        The operations are in the order of the items.
        """
        calls = [_arguments(item, index) for index, item in enumerate(items)]
        return [self.remote(*arguments) for arguments in calls]  # type: ignore[call-arg]

    def starmap(self, items: Iterable[tuple[Any, ...]]) -> list[OperationRef[R]]:
        """As ``map()``, which unpacks its items too: the name that ``itertools`` has for that.

        - ``items``: as for ``map()``.
        """
        return self.map(items)

    def local(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function here, without a sandbox.

        - ``args``, ``kwargs``: its arguments, of any kind.
        """
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<RemoteFunction {self.__module__}.{self.__qualname__}>"

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> call.Call:
        payload = capture.payload(self._fn, args, kwargs, self._serialization, _plain)
        if len(payload) > FILE_MAX:
            raise ValueError(
                f"function {self.__name__!r}, its arguments and what it refers to have {len(payload)} bytes as "
                f"{self._serialization}, and the limit is {FILE_MAX}: write them to a file, on a volume for example"
            )
        return call.Call(
            name=self.__name__,
            full_name=f"{self.__module__}.{self.__qualname__}",
            payload=payload,
            mode=self._serialization,
            temp_dir=self._temp_dir,
            sandbox=self._session._new_sandbox(self._options, containers=None),
            own=self._session._take,
        )


def _plain(value: Any) -> Any:
    return value._fn if isinstance(value, RemoteFunction) else value


def _arguments(item: Any, index: int) -> tuple[Any, ...]:
    # The letters of a text are never meant, nor are the keys of a dict, nor what has no order.
    if not isinstance(item, (str, bytes, dict, set, frozenset)):
        with suppress(TypeError):
            return tuple(item)
    raise TypeError(
        f"item {index} is {check.shown(item)}: each item is a tuple of arguments, such as (value,)"
    )


def _failed(error: Exception) -> OperationRef[Any]:
    from cwsandbox._cwsandbox import Promise

    promise: Promise[Any] = Promise()
    promise.set_exception(error)
    return promise
