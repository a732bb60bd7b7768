"""The secret stores of this machine: a directory with one JSON file per store, for its owner alone.

The daemon reads them (``--secrets-dir``), a private one by itself. Its rules for names and files are repeated here, so
that what is written here can be read there.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

DIRECTORY_VARIABLE = "CWSANDBOX_SECRETS_DIR"
VALUE_MAX = 64 * 1024
STORE_MAX = 1024 * 1024

_STORE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_SUFFIX = ".json"

# A secret is a text, or has fields that are texts.
Secrets = dict[str, "str | dict[str, str]"]


def directory() -> Path:
    """``CWSANDBOX_SECRETS_DIR``, or ``cwsandbox/secrets`` where this user's settings are."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return Path(named)
    settings = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(settings) if settings.startswith("/") else Path.home() / ".config"
    return base / "cwsandbox" / "secrets"


class Stores:
    """The stores in a directory. Errors are ``ValueError`` with the name or the file, or ``OSError``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """The stores there are, sorted."""
        try:
            found = [entry.name for entry in os.scandir(self.directory)]
        except FileNotFoundError:
            return []
        names = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
        return sorted(name for name in names if _STORE.fullmatch(name))

    def read(self, store: str) -> Secrets:
        """The secrets of a store; ``ValueError`` when there is none of this name."""
        path = self._path(store)
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            raise ValueError(f"There is no secret store {store!r} in {self.directory}") from None
        try:
            secrets = json.loads(text)
        except ValueError:  # its message would quote the file
            secrets = None
        if not isinstance(secrets, dict):
            raise ValueError(f"{path} is not a JSON object")
        return secrets

    def set(self, store: str, name: str, value: str, field: str | None = None) -> None:
        """Set a secret, or one field of it. The store is made if there is none."""
        _check_value(name, value)
        with self._locked():
            secrets = self.read(store) if store in self.names() else {}
            if field is None:
                secrets[name] = value
            else:
                fields = secrets.setdefault(name, {})
                if not isinstance(fields, dict):
                    raise ValueError(f"The secret {name!r} of {store!r} has no fields")
                fields[field] = value
            self._write(store, secrets)

    def delete(self, store: str, name: str) -> None:
        """Remove a secret, and the store with its last one. ``ValueError`` when there is no such secret."""
        if store not in self.names():
            raise ValueError(f"There is no secret store {store!r} in {self.directory}")
        with self._locked():
            secrets = self.read(store)
            if name not in secrets:
                raise ValueError(f"There is no secret {name!r} in {store!r}")
            del secrets[name]
            if secrets:
                self._write(store, secrets)
            else:
                self._path(store).unlink()

    def _path(self, store: str) -> Path:
        if not _STORE.fullmatch(store):
            raise ValueError(
                f"{store!r} is no name for a store: at most 128 letters, digits, '.', '_' and '-', the first one no '.'"
            )
        return self.directory / (store + _SUFFIX)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Nobody else changes a store meanwhile: two changes at once must not lose one of the two."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _write(self, store: str, secrets: Secrets) -> None:
        path = self._path(store)
        text = json.dumps(secrets, indent=2) + "\n"
        if len(text) > STORE_MAX:
            raise ValueError(f"{path} would have {len(text)} bytes; at most {STORE_MAX} are read")
        fd, temporary = tempfile.mkstemp(dir=self.directory, prefix=".")  # mode 0600
        try:
            with os.fdopen(fd, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            os.replace(temporary, path)
        except BaseException as error:
            os.unlink(temporary)
            if isinstance(error, OSError):
                error.filename = str(path)
            raise


def _check_value(name: str, value: str) -> None:
    if not name or "=" in name or "\0" in name:
        raise ValueError(
            f"{name!r} is no name for a secret: it must not be empty or have '=' or NUL"
        )
    if "\0" in value or len(value.encode()) > VALUE_MAX:
        raise ValueError(
            f"The value of {name!r} must have at most {VALUE_MAX} bytes and no NUL, to fit a variable"
        )
