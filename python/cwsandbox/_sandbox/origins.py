"""The public verbs for sandboxes that are described elsewhere: by a template of the service, or by a file."""

from __future__ import annotations

from cwsandbox._messages import options
from cwsandbox._messages.config import checked_defaults, file_workload
from cwsandbox._sandbox.creation import Creating, SandboxCreation
from cwsandbox._sandbox.naming import part_of_sandbox
from cwsandbox._service.connection import connection as connection_of
from cwsandbox._types import check
from cwsandbox._types.annotations import on_demand
from cwsandbox._types.enums import SandboxControl, SandboxFileType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, Self

    from cwsandbox._types.auth import AuthConfig
    from cwsandbox._types.defaults import SandboxDefaults
    from cwsandbox._types.enums import DataPlaneMode, PlacementMode, PlacementSpillover
    from cwsandbox._types.network import NetworkOptions
    from cwsandbox._types.resources import ResourceOptions
    from cwsandbox._types.secret import ImagePullCredentials, ObjectStorageAccess


@part_of_sandbox
@on_demand
class SandboxOrigins(SandboxCreation):
    """Sandboxes that begin with more than arguments."""

    @classmethod
    def run_from_template(
        cls,
        template_id: str,
        /,
        *args: str,
        command: str | None = None,
        defaults: SandboxDefaults | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create a sandbox from a template of the service, and return once the service has accepted it.

        - ``template_id``: the template, by its id or name.
        - ``args``: arguments of the main process. They need ``container_image``, as ``command`` does.
        - ``command``: the main process. Default: the template's.
        - ``defaults``: the service, credentials and times are taken from there, and the tags are added. Nothing else
          of them is: it would replace what the template has. Default: none.
        - ``kwargs``: those of ``Sandbox.run()``, and ``base_url``. What is given replaces what the template has,
          whole; empty lists and dicts count as not given, and so do not clear anything.

        The template's containers can only be replaced: ``resources``, ``environment_variables``, ``secrets``,
        ``volumes`` and all else of a container are a ``TypeError`` without ``container_image`` or ``containers``. A
        ``placement_spillover`` other than "strict" is a ``ValueError``. Blocks, also inside an event loop, and raises
        what ``Sandbox.run()`` does.

        ::

            with Sandbox.run_from_template("ci", tags=["job-7"]) as sandbox:
                print(sandbox.exec(["make", "test"]).result().stdout)
        """
        check.text(template_id, "template_id")
        if "template_id" in kwargs:
            raise TypeError("Sandbox.run_from_template(): template_id is the first argument")
        words = [*args] or None
        sandbox = cls(
            template_id=template_id, command=command, args=words, defaults=defaults, **kwargs
        )
        with Creating(sandbox) as creating:
            creating.start().result()
        return sandbox

    @classmethod
    def run_from_file(
        cls,
        contents: str | Path | bytes,
        /,
        *,
        primary_service: str | None = None,
        file_type: SandboxFileType | str = SandboxFileType.COMPOSE,
        control: SandboxControl | str = SandboxControl.UNSPECIFIED,
        image_pull_credentials: Sequence[ImagePullCredentials | dict[str, Any]] | None = None,
        image_overrides: Mapping[str, str] | None = None,
        default_resources: ResourceOptions | dict[str, Any] | None = None,
        defaults: SandboxDefaults | None = None,
        auth: AuthConfig | None = None,
        request_timeout_seconds: float | None = None,
        create_retry_budget_seconds: float | None = None,
        poll_retry_budget_seconds: float | None = None,
        poll_rpc_timeout_seconds: float | None = None,
        max_lifetime_seconds: float | None = None,
        tags: list[str] | None = None,
        runner_ids: list[str] | None = None,
        network: NetworkOptions | dict[str, Any] | None = None,
        placement_mode: PlacementMode | str | None = None,
        placement_spillover: PlacementSpillover | str | None = None,
        object_storage_access: ObjectStorageAccess | dict[str, Any] | None = None,
        annotations: dict[str, str] | None = None,
        request_id: str | None = None,
        data_plane_mode: DataPlaneMode | str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Create a sandbox from a Compose file, and return once the service has accepted it.

        Each service of the file becomes a container. The file is sent as it is, and read by the service alone.

        - ``contents``: bytes are the file's text; a str or a path object names a file to read, of 256 KiB at most.
        - ``primary_service``: the service whose container commands run in. Needed, unless ``control`` is
          "container_engine".
        - ``file_type``: the kind of file: "compose" (``SandboxFileType``). Default: that.
        - ``control``: who manages the containers: "platform" or "container_engine" (``SandboxControl``). Default: the
          service's choice.
        - ``image_pull_credentials``: a list of ``ImagePullCredentials`` or dicts, for images in private registries.
        - ``image_overrides``: images by service, instead of those in the file.
        - ``default_resources``: what each service has that the file gives none, as for ``Sandbox()``, without GPUs.
        - ``defaults``: a ``SandboxDefaults``: the address, credentials, times, tags, network, placement, annotations,
          object storage and lifetime are taken from there, where none are given.
        - ``auth``: credentials: ``AuthStrategy``, ``AuthHeaders`` or an object with ``resolve_auth``. Default: those
          of ``set_auth_mode()``, else the key in ``CWSANDBOX_API_KEY`` of the environment.
        - ``request_timeout_seconds``: limit of each call to the service, and of commands and waits that are given
          none. Default: 300; ``math.inf``: no limit.
        - ``create_retry_budget_seconds``: how long to repeat a create that found no room. Default: 0, not at all.
        - ``poll_retry_budget_seconds``: how long to repeat status requests that fail. Default: 30.
        - ``poll_rpc_timeout_seconds``: limit of one status request. Default: 15.
        - ``max_lifetime_seconds``: when it has existed for so long, the service ends it. Default: the service's limit.
        - ``tags``: labels by which ``Sandbox.list()`` finds it; added to those of ``defaults``.
        - ``runner_ids``: the only runners it may run on.
        - ``network``: ``NetworkOptions`` or a dict: where it may connect to, and who may connect to it. Default: the
          service's rules.
        - ``placement_mode``: "serverless" or "cks": the kind of runner. Default: the service's choice.
        - ``placement_spillover``: only "strict", the default.
        - ``object_storage_access``: ``ObjectStorageAccess`` or a dict: credentials for buckets.
        - ``annotations``: texts by name that the service keeps with it; added to those of ``defaults``.
        - ``request_id``: a key by which the service knows a repeated request. Default: a new one.
        - ``data_plane_mode``: how commands, logs and files reach the sandbox, as for ``Sandbox.run()``.

        ``kwargs`` is for names that there are not, which are a ``TypeError``. Blocks, also inside an event loop.
        Raises ``OSError`` for a file that cannot be read, ``ValueError`` for one that is too large, and what
        ``Sandbox.run()`` does.

        ::

            with Sandbox.run_from_file("compose.yaml", primary_service="web") as sandbox:
                print(sandbox.exec(["hostname"]).result().stdout)
        """
        given = options.pick(options.FROM_FILE, locals())
        from cwsandbox._messages import from_file

        from_file.refuse_unknown(kwargs)
        file = from_file.sandbox_file(
            contents,
            primary_service=primary_service,
            file_type=file_type,
            control=control,
            image_pull_credentials=image_pull_credentials,
            image_overrides=image_overrides,
            default_resources=default_resources,
        )
        defaults = checked_defaults(defaults)
        sandbox = object.__new__(cls)
        sandbox._setup(connection_of(given, defaults), file_workload(given, defaults, file))
        from cwsandbox._runtime import signals

        signals.install()
        with Creating(sandbox) as creating:
            creating.start().result()
        return sandbox
