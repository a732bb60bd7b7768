"""Values on their way to a remote function and back, as JSON or as pickles."""

from __future__ import annotations

import io
import json
import pickle
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from cwsandbox._types.serialization import Serialization

if TYPE_CHECKING:
    from collections.abc import Callable

# That of Python 3.8, so that the sandbox may have another version.
_PROTOCOL = 5


def encode(
    value: Any, what: str, mode: Serialization, need: Callable[[type | FunctionType], None]
) -> Any:
    """``value`` as it stands in a payload. ``TypeError`` and ``ValueError`` name ``what`` and the part that cannot be.

    ``need`` is called with the classes and functions that the receiver must have.
    """
    if mode is Serialization.PICKLE:
        return _pickled(value, what, need)
    try:
        _check_json(value, what)
    except RecursionError:
        raise ValueError(f"{what} is nested too deeply, or contains itself") from None
    return value


def dump(payload: Any, mode: Serialization) -> bytes:
    """A whole payload."""
    if mode is Serialization.PICKLE:
        return pickle.dumps(payload, _PROTOCOL)
    return json.dumps(payload).encode()


def load(data: bytes, start: int, mode: Serialization) -> Any:
    """The value from ``start`` on. Only with ``PICKLE`` it is unpickled, with all that this lets the sandbox do."""
    if mode is Serialization.PICKLE:
        # Of bytes, this makes no copy.
        file = io.BytesIO(data)
        file.seek(start)
        return _Unpickler(file).load()
    return json.loads(data[start:])


def _check_json(value: Any, path: str) -> None:
    if value is None or isinstance(value, (str, int, float)):
        return
    if isinstance(value, dict):
        for key, part in value.items():
            if not isinstance(key, str):
                raise TypeError(
                    f"JSON has no dict with non-string keys: {path} (key {key!r} has type "
                    f"{type(key).__name__})"
                )
            _check_json(part, f"{path}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            # A path for each number of a long list would take longer than all else.
            if part.__class__ not in (int, float, str, bool):
                _check_json(part, f"{path}[{index}]")
    else:
        raise TypeError(
            f"{path} is a {type(value).__name__}, which is not JSON-serializable: convert it, "
            'or use serialization="pickle"'
        )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # pickle's own waits until the module has been imported, which may be what waits for this value.
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        return super().find_class(module, name) if found is None else found


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, need: Callable[[type | FunctionType], None]) -> None:
        super().__init__(file, _PROTOCOL)
        self._need = need

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (type, FunctionType)):
            self._need(value)
        return NotImplemented


def _pickled(value: Any, what: str, need: Callable[[type | FunctionType], None]) -> bytes:
    file = io.BytesIO()
    try:
        _Pickler(file, need).dump(value)
    except Exception as error:
        raise TypeError(f"{what} cannot be pickled: {error}") from error
    return file.getvalue()
