"""Credentials: where they come from and what is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol, runtime_checkable


@unique
class AuthStrategy(StrEnum):
    """Built-in ways of finding credentials.

    - ``COREWEAVE_API_KEY``: the key in ``CWSANDBOX_API_KEY`` of the environment; its absence is an error.
    - ``WANDB``: an API key of Weights & Biases, as ``WandbAuth()`` finds it.
    """

    COREWEAVE_API_KEY = "coreweave_api_key"
    WANDB = "wandb"


@dataclass(frozen=True)
class AuthHeaders:
    """What to send with every call as credentials.

    False in a condition when there is no header. Its ``repr`` does not show the values.

    - ``headers``: names and values, printable ASCII without blanks at the ends.
    - ``strategy``: a label that says how they were found.
    """

    headers: dict[str, str]
    strategy: str

    def __bool__(self) -> bool:
        return bool(self.headers)

    def __repr__(self) -> str:
        # The values are secrets, and what is shown ends up in logs and tracebacks.
        headers: object = self.headers
        if isinstance(headers, Mapping):
            shown = repr(dict.fromkeys(headers, "<redacted>"))
        else:
            shown = f"<{type(headers).__name__}>"
        return f"AuthHeaders(headers={shown}, strategy={self.strategy!r})"


@runtime_checkable
class AuthProvider(Protocol):
    """Any object that supplies credentials."""

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        """The headers for calls to the service at ``base_url``. Called once per sandbox, on a worker thread."""
        ...


AuthConfig = AuthStrategy | AuthProvider | AuthHeaders
