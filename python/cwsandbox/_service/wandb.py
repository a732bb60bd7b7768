"""Weights & Biases API keys as credentials."""

from __future__ import annotations

import os
import re
import sys

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from cwsandbox._service import wandb_settings
from cwsandbox._service.wandb_settings import Host
from cwsandbox._types import check
from cwsandbox._types.auth import AuthHeaders
from cwsandbox.exceptions import CWSandboxAuthenticationError

_STRATEGY = "wandb_api_key"
_KEY_LENGTH_MIN = 40
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_WHERE = "set WANDB_API_KEY, or let `wandb login` write it to the netrc file"


@dataclass(frozen=True)
class WandbAuth:
    """Credentials of Weights & Biases, for the option ``auth``. ``AuthStrategy.WANDB`` is the same as ``WandbAuth()``.

    - ``entity``: the user or team to act as. Default: that of the program's active W&B run, else ``WANDB_ENTITY`` or
      W&B's settings files, else the key's own.
    - ``project``: the project to act in. Default: ``WANDB_PROJECT`` or W&B's settings files, else none.

    The API key is that of ``wandb.login()`` in this program, else ``WANDB_API_KEY``, else the one for the W&B host
    in the netrc file, else the one in W&B's settings. The host is ``WANDB_BASE_URL``, or what the settings say. The
    package ``wandb`` need not be installed, and nobody is asked for a key. ``CWSANDBOX_API_KEY`` is not sent.

    Raises ``ValueError`` and ``TypeError`` for a blank or wrong ``entity`` or ``project``.
    """

    entity: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("entity", self.entity), ("project", self.project)):
            if value is not None and not check.text(value, f"WandbAuth {name}").strip():
                raise ValueError(f"WandbAuth {name} must not be blank, got {value!r}")

    def resolve_auth(self, *, base_url: str) -> AuthHeaders:
        """The headers to send.

        - ``base_url``: the sandbox service's address, which makes no difference here.

        Raises ``CWSandboxAuthenticationError`` if there is no key, or it or the W&B host cannot be used.
        """
        settings = wandb_settings.read()
        host = wandb_settings.host(settings.base_url)
        headers = {"x-wandb-api-key": _checked(*_find_key(host, settings.api_key))}
        optional = {
            "x-wandb-sdk-version": _package_version(),
            "x-wandb-host": None if host.is_saas else host.netloc,
            "x-entity-id": self.entity or _run_entity() or settings.entity,
            "x-project-name": self.project or settings.project,
        }
        headers |= {name: value for name, value in optional.items() if value}
        return AuthHeaders(headers, _STRATEGY)


# ---- the key ----


def _find_key(host: Host, in_settings: str | None) -> tuple[str, str]:
    """The key, and where it was found."""
    key = os.environ.get("WANDB_API_KEY")
    token_file = os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    if held := _held_key(host):
        return held, "the key of wandb.login()"
    if key and token_file:
        raise CWSandboxAuthenticationError(
            "WANDB_API_KEY and WANDB_IDENTITY_TOKEN_FILE are both set: only one can count"
        )
    if token_file:
        raise CWSandboxAuthenticationError(
            "WANDB_IDENTITY_TOKEN_FILE is set, but sandboxes can only be had with an API key: set WANDB_API_KEY instead"
        )
    if key:
        return key, "WANDB_API_KEY"
    path = _netrc_path()
    if found := _in_netrc(path, host):
        return found, f"the key in {path}"
    if in_settings:
        return in_settings, "the key in W&B's settings"
    raise CWSandboxAuthenticationError(f"no W&B credentials for {host.netloc}: {_WHERE}")


def _held_key(host: Host) -> str | None:
    """The key that the program has given to the wandb package for this host."""
    if wandb_settings.package() is None:
        return None
    try:
        wbauth: Any = import_module("wandb.sdk.lib.wbauth")
        settings = wandb_settings.package().singleton().settings
        held = wbauth.session_credentials(host=wbauth.HostUrl(settings.base_url))
    except Exception:
        return None  # another release of wandb: its key is then found where it is stored
    if held is None:
        return None
    if not isinstance(held, wbauth.AuthApiKey):
        raise CWSandboxAuthenticationError(
            f"wandb is logged in to {host.netloc} without an API key, and sandboxes can only be had with one"
        )
    return str(held.api_key)


def _netrc_path() -> str:
    if given := os.environ.get("NETRC"):
        return os.path.expanduser(given)
    usual, other = os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")
    return other if not os.path.exists(usual) and os.path.exists(other) else usual


def _in_netrc(path: str, host: Host) -> str | None:
    """The password of the first of the host's names that the file has. A file that cannot be read has none."""
    from netrc import NetrcParseError, netrc

    try:
        machines = netrc(path).hosts
    except FileNotFoundError:
        return None
    except (NetrcParseError, OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "msg", None) or getattr(error, "strerror", None) or "no text"
        _warn(f"cannot read {path}: {reason}")
        return None
    # Not netrc.authenticators(): it would give the "default" entry, which is some other service's password.
    for name in host.machines:
        if name in machines:
            if password := machines[name][2]:
                return password
            _warn(f"{path} has no key for the machine {name}")
    return None


def _warn(text: str) -> None:
    from logging import getLogger

    getLogger("cwsandbox").warning("W&B credentials: %s", text)


def _checked(key: str, where: str) -> str:
    # The key is a secret and stays out of the message.
    if _TOKEN.fullmatch(key):
        return key
    secret = key.partition("-")[2] if "-" in key else key
    if not re.fullmatch(r"[\w-]+", secret, re.ASCII):
        rule = (
            "may only contain letters, digits and underscores, behind an optional prefix and a dash"
        )
    elif len(secret) < _KEY_LENGTH_MIN:
        rule = f"must have at least {_KEY_LENGTH_MIN} characters, has {len(secret)}"
    else:
        return key
    raise CWSandboxAuthenticationError(f"{where} is not a W&B API key: it {rule}")


# ---- what the program does with the wandb package ----


def _run_entity() -> str | None:
    """The entity of the active run: wandb.init() puts it into no settings."""
    run = getattr(sys.modules.get("wandb"), "run", None)
    try:
        return getattr(run, "entity", None) or None
    except Exception:
        return None  # a run that is just ending


def _package_version() -> str | None:
    if found := getattr(sys.modules.get("wandb"), "__version__", None):
        return str(found)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wandb")
    except PackageNotFoundError:
        return None
