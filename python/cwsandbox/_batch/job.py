"""One job: a command, and all that it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cwsandbox._messages import command as _command
from cwsandbox._messages import options
from cwsandbox._types import check

# json.dumps() would make an encoder each time.
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Job:
    """One command of a batch, with what it needs.

    - ``key``: what the job is known by, within its batch and its store.
    - ``command``: the program and its arguments, as for ``Sandbox.exec()``.
    - ``image``: the container image. Default: the batch's.
    - ``cwd``, ``env``, ``timeout_seconds``: as for ``Sandbox.exec()``.
    - ``stdin``: the command's input. Default: empty.
    - ``files``: what to write into the sandbox first: from the path there to the content, as bytes or as the
      ``pathlib.Path`` of a local file, which is read when the job begins. Default: none.
    - ``artifacts``: paths of files to take from the sandbox after the command, however that ended.
    - ``sandbox``: further options of ``Sandbox(...)`` for this job; they take precedence over the batch's. Default:
      none.
    - ``metadata``: what the program wants to know about the job later. JSON must have it. Default: nothing.
    """

    key: str
    command: Sequence[str]
    image: str | None = None
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    stdin: bytes | None = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    timeout_seconds: float | None = None
    artifacts: Sequence[str] = ()
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check.carried(check.text(self.key, "key"), "key")
        for number, word in enumerate(check.strings(_command.words_of(self.command), "command")):
            check.carried(word, f"command[{number}]")
        if self.image is not None:
            check.carried(check.text(self.image, "image"), "image")
        if self.cwd is not None:
            check.carried(_command.directory(self.cwd), "cwd")
        if self.env is not None:
            _check_variables(self.env)
        if self.stdin is not None and not isinstance(self.stdin, bytes):
            raise TypeError(f"stdin must be bytes, got {check.shown(self.stdin)}")
        if self.timeout_seconds is not None:
            check.timeout(self.timeout_seconds, "timeout_seconds")
        if self.files:
            _check_files(self.files)
        if self.artifacts:
            for path in check.strings(self.artifacts, "artifacts"):
                check.carried(check.path(path, "artifacts"), "artifacts")
        if self.sandbox:
            _check_options(self.sandbox, self.image)
        if self.metadata:
            _check_metadata(self.metadata)

    def options(self) -> dict[str, Any]:
        """Its own options of ``Sandbox(...)``."""
        if self.image is None:
            return dict(self.sandbox)
        return {**self.sandbox, "container_image": self.image}

    def description(self) -> str:
        """All that makes it this job, as JSON. Content stands there by its digest.

        Its metadata and what it may use (time, options of its sandbox) can change: with more memory it is the same job.
        """
        said: dict[str, Any] = {"command": list(self.command)}
        for name in ("image", "cwd"):
            if (value := getattr(self, name)) is not None:
                said[name] = value
        if self.env:
            # Values may be secrets: they are known again, and not shown.
            said["env"] = {name: _digest(value.encode()) for name, value in self.env.items()}
        if self.stdin is not None:
            said["stdin"] = _digest(self.stdin)
        if self.files:
            said["files"] = {path: _content_name(content) for path, content in self.files.items()}
        if self.artifacts:
            said["artifacts"] = list(self.artifacts)
        return _encoded(said)


def _check_variables(env: Mapping[str, str]) -> None:
    for name, value in _command.variables(env).items():
        if not (check.is_utf8(name) and check.is_utf8(value)):
            # The value may be a secret.
            raise ValueError(
                f"env[{name!r}] must not contain a lone surrogate, which UTF-8 cannot carry"
            )


def _check_files(files: object) -> None:
    if not isinstance(files, Mapping):
        raise TypeError(
            f"files must be a mapping from paths to bytes or pathlib.Path, got {check.shown(files)}"
        )
    for path, content in files.items():
        check.carried(check.path(path, "a path in files"), "a path in files")
        if not isinstance(content, (bytes, Path)):
            raise TypeError(
                f"files[{path!r}] must be bytes or a pathlib.Path, got {check.shown(content)}"
            )


def _check_options(given: object, image: str | None) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"sandbox must be a mapping of options, got {check.shown(given)}")
    check.keys(given, options.SANDBOX, "unknown options in sandbox")
    if image is not None and "container_image" in given:
        raise ValueError("image and sandbox['container_image'] name the same: give one of them")


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata must be a mapping, got {check.shown(metadata)}")
    try:
        json.dumps(dict(metadata), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"metadata must be what JSON has: {error}") from None


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _content_name(content: bytes | Path) -> str:
    return f"file:{content}" if isinstance(content, Path) else _digest(content)
