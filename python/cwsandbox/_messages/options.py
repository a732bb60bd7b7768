"""The keyword arguments that describe a sandbox, by name. What is in no list here is no option."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# How to talk to the service.
CONNECTION = (
    "base_url",
    "auth",
    "request_timeout_seconds",
    "create_retry_budget_seconds",
    "poll_retry_budget_seconds",
    "poll_rpc_timeout_seconds",
    "data_plane_mode",
)

# What describes the one container of a sandbox, and so cannot stand beside a list of containers.
SINGLE_CONTAINER = (
    "container_image",
    "command",
    "args",
    "resources",
    "mounted_files",
    "secrets",
    "image_pull_credentials",
    "environment_variables",
    "security_context",
    "working_dir",
)

# The rest of what to create.
WORKLOAD = (
    "containers",
    "template_id",
    "tags",
    "annotations",
    "max_lifetime_seconds",
    "runner_ids",
    "placement_mode",
    "placement_spillover",
    "network",
    "services",
    "volumes",
    "file_system_snapshot",
    "runtime_class",
    "object_storage_access",
)

# Still taken, so that whoever gives one is told what has taken its place.
REMOVED = {
    "profile_ids": "runner_ids",
    "profile_names": "runner_ids",
    "s3_mount": "object_storage_access",
    "ports": "services",
    "max_timeout_seconds": "request_timeout_seconds",
}

SANDBOX = (*CONNECTION, *SINGLE_CONTAINER, *WORKLOAD, *REMOVED)
# Those of Sandbox.run(): its command and arguments are positional, its service is that of the environment.
RUN = tuple(name for name in SANDBOX if name not in ("command", "args", "base_url"))
# Those that Session.sandbox() does not take: they come from the session's defaults.
_OF_DEFAULTS = (
    "base_url",
    "create_retry_budget_seconds",
    "poll_retry_budget_seconds",
    "poll_rpc_timeout_seconds",
    "max_lifetime_seconds",
)
SESSION = tuple(name for name in SANDBOX if name not in (*_OF_DEFAULTS, *REMOVED))

# Those of Sandbox.run_from_file() that are not about the file.
FROM_FILE = (
    *(name for name in CONNECTION if name != "base_url"),
    "max_lifetime_seconds",
    "tags",
    "runner_ids",
    "network",
    "placement_mode",
    "placement_spillover",
    "object_storage_access",
    "annotations",
    "request_id",
)


def pick(names: Iterable[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """The options of these names out of a method's local names. ``KeyError`` when it has no such parameter."""
    return {name: values[name] for name in names}


def refuse_removed(given: Mapping[str, Any]) -> None:
    """``TypeError`` for parameters that are gone, whatever their value but None."""
    for name in REMOVED:
        if given.get(name) is not None:
            raise _removed(name)


def refuse_unknown(
    method: str, given: Iterable[str], known: Iterable[str], of_defaults: Iterable[str] = ()
) -> None:
    """``TypeError`` for the first name that is not ``known``, as Python's own, with what was probably meant.

    ``of_defaults`` are names that the method does not take, but the defaults it goes by.
    """
    known, of_defaults = tuple(known), tuple(of_defaults)
    for name in given:
        if name in known:
            continue
        if name in REMOVED:
            raise _removed(name)
        if name in of_defaults:
            raise TypeError(f"{method} does not take {name!r}: set it in the session's defaults")
        near = _nearest(name, [one for one in known if one not in REMOVED])
        hint = f". Did you mean {near!r}?" if near else ""
        raise TypeError(f"{method} got an unexpected keyword argument {name!r}{hint}")


def _nearest(name: str, known: list[str]) -> str | None:
    """The one that is written nearly so, else the shortest that it is a part of, as "image" is."""
    from difflib import get_close_matches  # for who has made a mistake

    wholes = sorted((one for one in known if len(name) > 2 and name in one), key=len)
    return next(iter(get_close_matches(name, known, 1) or wholes), None)


def _removed(name: str) -> TypeError:
    return TypeError(f"{name!r} is no longer supported: use {REMOVED[name]}")
