"""The file that a sandbox is created from, and what may be said beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cwsandbox._messages import options
from cwsandbox._messages.config import SandboxFile
from cwsandbox._types import check
from cwsandbox._types.coerce import instances
from cwsandbox._types.enums import SandboxControl, SandboxFileType
from cwsandbox._types.resources import normalize
from cwsandbox._types.secret import ImagePullCredentials

CONTENTS_MAX = 262_144

# The keyword arguments of Sandbox.run_from_file() beside options.FROM_FILE.
OF_FILE = (
    "primary_service",
    "file_type",
    "control",
    "image_pull_credentials",
    "image_overrides",
    "default_resources",
    "defaults",
)


def refuse_unknown(given: Mapping[str, Any]) -> None:
    """``TypeError`` for options that there are not, and for those that the file has a place for."""
    if not given:
        return
    known = sorted(set(given) & set(options.SANDBOX) - set(options.REMOVED))
    if known:
        raise TypeError(
            f"Sandbox.run_from_file() does not take {', '.join(known)}: CreateSandboxFromFile has no such field"
        )
    options.refuse_unknown("Sandbox.run_from_file()", given, (*options.FROM_FILE, *OF_FILE))


def sandbox_file(
    contents: object,
    *,
    primary_service: object,
    file_type: object,
    control: object,
    image_pull_credentials: object,
    image_overrides: object,
    default_resources: Any,
) -> SandboxFile:
    """The file, read if it is named, with what is said beside it. ``OSError`` if it cannot be read."""
    who = check.choice(control, SandboxControl, "control")
    primary = check.optional_text(primary_service, "primary_service")
    if primary is None and who is not SandboxControl.CONTAINER_ENGINE:
        raise ValueError(
            "primary_service must name the service that commands run in, "
            f"unless control is {SandboxControl.CONTAINER_ENGINE.value!r}"
        )
    credentials: tuple[ImagePullCredentials, ...] = ()
    if image_pull_credentials is not None:
        credentials = instances(
            image_pull_credentials, ImagePullCredentials, "image_pull_credentials"
        )
    kind = check.choice(file_type, SandboxFileType, "file_type")
    resources = None if default_resources is None else normalize(default_resources)
    if resources is not None and resources.gpu:
        raise ValueError(f"default_resources must not have a GPU, got {resources.gpu}")
    overrides = (
        {} if image_overrides is None else check.string_map(image_overrides, "image_overrides")
    )
    return SandboxFile(
        contents=_read(contents),
        type=kind,
        primary_service=primary,
        control=who,
        image_pull_credentials=credentials,
        image_overrides=overrides,
        default_resources=resources,
    )


def _read(contents: object) -> bytes:
    if isinstance(contents, bytes):
        data, name = contents, "contents"
    elif isinstance(contents, (str, Path)):
        name = f"contents, the file {str(contents)!r},"
        with open(check.path(contents, "contents"), "rb") as file:
            data = file.read(CONTENTS_MAX + 1)
    else:
        raise TypeError(
            f"contents must be bytes, or the path of a file as a str or Path, got {check.shown(contents)}"
        )
    if len(data) > CONTENTS_MAX:
        raise ValueError(f"{name} must have at most {CONTENTS_MAX} bytes")
    return data
