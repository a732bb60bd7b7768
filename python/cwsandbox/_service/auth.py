"""Credentials as call metadata."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cwsandbox._types.auth import AuthHeaders, AuthProvider, AuthStrategy
from cwsandbox.exceptions import CWSandboxAuthenticationError

if TYPE_CHECKING:
    from cwsandbox._types.auth import AuthConfig

    Metadata = tuple[tuple[str, str], ...]

_API_KEY_VARIABLE = "CWSANDBOX_API_KEY"

_mode: tuple[str, Callable[[], AuthHeaders]] | None = None


def set_auth_mode(name: str, get_auth: Callable[[], AuthHeaders]) -> None:
    """Replace the process-wide source of credentials.

    ``get_auth`` is called on a worker thread whenever a sandbox without an ``auth`` of its own needs credentials.
    ``name`` appears in error messages. The last call wins.
    """
    if not callable(get_auth):
        # Not the value: whoever gives a key here has given a secret.
        raise TypeError(f"get_auth must be callable, got a {type(get_auth).__name__}")
    global _mode
    _mode = (name, get_auth)


def runs_foreign_code(auth: AuthConfig | None) -> bool:
    """Whether resolving may block: it calls code that is not ours, or reads files."""
    if auth is None:
        return _mode is not None
    if type(auth) is AuthHeaders:
        return type(auth.headers) is not dict
    # W&B keys are in files, and those may be on a network.
    return auth is not AuthStrategy.COREWEAVE_API_KEY


def describe(auth: AuthConfig | None) -> str:
    """Who is asked for credentials, in words."""
    if auth is not None:
        return f"auth provider {type(auth).__name__}"
    return "no auth mode" if _mode is None else f"auth mode {_mode[0]!r}"


def metadata(auth: AuthConfig | None, base_url: str) -> Metadata:
    """The headers of the chosen credentials as lower-case pairs."""
    headers = _of_process() if auth is None else _resolve(auth, base_url)
    return tuple(
        (_checked_name(name), _checked_value(name, value)) for name, value in headers.items()
    )


def _of_process() -> Mapping[str, str]:
    return _from_api_key(required=False) if _mode is None else _from_mode(*_mode)


def _resolve(auth: AuthConfig, base_url: str) -> Mapping[str, str]:
    if isinstance(auth, AuthHeaders):
        return auth.headers
    if isinstance(auth, AuthStrategy):
        return headers_of(auth).headers
    if not isinstance(auth, type) and isinstance(auth, AuthProvider):
        return _headers(auth.resolve_auth(base_url=base_url), describe(auth))
    raise TypeError(
        f"auth must be an AuthStrategy, AuthHeaders or an object with resolve_auth, got {type(auth).__name__}"
    )


def _from_mode(name: str, get_auth: Callable[[], AuthHeaders]) -> Mapping[str, str]:
    return _headers(get_auth(), f"auth mode {name!r}")


def _headers(found: object, source: str) -> Mapping[str, str]:
    if not isinstance(found, AuthHeaders):
        raise CWSandboxAuthenticationError(
            f"{source} returned no credentials: {type(found).__name__}, not AuthHeaders"
        )
    return found.headers


def headers_of(strategy: AuthStrategy) -> AuthHeaders:
    """The credentials found in this way. ``CWSandboxAuthenticationError`` if there are none."""
    if strategy is AuthStrategy.WANDB:
        from cwsandbox._service.wandb import WandbAuth

        return WandbAuth().resolve_auth(base_url="")
    return AuthHeaders(dict(_from_api_key(required=True)), "api_key")


def _from_api_key(*, required: bool) -> Mapping[str, str]:
    key = os.environ.get(_API_KEY_VARIABLE)
    if key:
        return {"Authorization": f"Bearer {key}"}
    if required:
        raise CWSandboxAuthenticationError(f"no API key: set {_API_KEY_VARIABLE}")
    return {}


def _checked_name(name: str) -> str:
    if (
        not isinstance(name, str)
        or not name
        or not name.isascii()
        or not name.isprintable()
        or " " in name
    ):
        raise CWSandboxAuthenticationError(
            f"auth header name {name!r} must be printable ASCII without blanks"
        )
    return name.lower()


def _checked_value(name: str, value: str) -> str:
    # The value is a secret and stays out of the message.
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise CWSandboxAuthenticationError(
            f"auth header {name!r} must be printable ASCII text; a line break at the end of the key is a usual cause"
        )
    if value != value.strip(" "):
        raise CWSandboxAuthenticationError(
            f"auth header {name!r} must not begin or end with a blank; one at the end of the key is a usual cause"
        )
    return value
