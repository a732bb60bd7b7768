"""What Weights & Biases is told in its environment variables and settings files, without its package."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from cwsandbox._types.record import Record
from cwsandbox.exceptions import CWSandboxAuthenticationError

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULT_HOST = "api.forge.coreweave.com"
# Newer names of the hosted W&B, and those that it has behind them. They share their keys.
_UPSTREAM = {
    _DEFAULT_HOST: "api.wandb.ai",
    "api.qa.forge.coreweave.com": "api.qa.wandb.ai",
}
_NAMES = ("base_url", "entity", "project", "api_key")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Settings(Record):
    """None is what is not said."""

    base_url: str | None = None
    entity: str | None = None
    project: str | None = None
    api_key: str | None = None


def package() -> Any:
    """The wandb package's module for its settings, None if the program has not loaded that package."""
    # Not "wandb": a folder of that name, which its runs leave behind, can be imported, too.
    return sys.modules.get("wandb.sdk.wandb_setup")


def read() -> Settings:
    """The settings of the wandb package if the program has loaded it, else those it would find.

    Environment variables count before the file of the directory, and that before the file of the user.
    """
    if package() is not None:
        return _of_package()
    found: dict[str, str] = {}
    for path in (_user_file(), _directory_file()):
        found |= _in_file(path)
    for name in _NAMES:
        if value := os.environ.get(f"WANDB_{name.upper()}"):
            found[name] = value
    return Settings(**found)


def _of_package() -> Settings:
    try:
        settings = package().singleton().settings
        return Settings(**{name: getattr(settings, name, None) or None for name in _NAMES})
    except Exception as error:
        raise CWSandboxAuthenticationError(
            f"the settings of the wandb package cannot be read: {error}"
        ) from error


def _user_file() -> Path:
    from pathlib import Path

    folder = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    return Path(folder).expanduser() / "settings"


def _directory_file() -> Path:
    from pathlib import Path

    root = Path(os.environ.get("WANDB_DIR") or ".").expanduser()
    hidden = root / ".wandb"
    return (hidden if hidden.is_dir() else root / "wandb") / "settings"


def _in_file(path: Path) -> dict[str, str]:
    """What the file's section "default" says; nothing if there is none."""
    from configparser import ConfigParser, Error

    parser = ConfigParser(interpolation=None)
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, Error, UnicodeDecodeError) as error:
        from logging import getLogger

        reason = getattr(error, "strerror", None) or type(error).__name__
        getLogger("cwsandbox").warning("cannot read the W&B settings in %s: %s", path, reason)
        return {}
    if not parser.has_section("default"):
        return {}
    return {name: value for name, value in parser.items("default") if name in _NAMES and value}


class Host(Record):
    """The W&B server: ``netloc`` is its name, with the port unless that is the usual one."""

    netloc: str
    is_saas: bool

    @property
    def machines(self) -> tuple[str, ...]:
        """The names under which a netrc file may have its key."""
        upstream = _UPSTREAM.get(self.netloc)
        return (self.netloc,) if upstream is None else (self.netloc, upstream)


def host(base_url: str | None) -> Host:
    """The server at a base URL. ``CWSandboxAuthenticationError`` for one that is no W&B server's."""
    if base_url is None:
        return Host(_DEFAULT_HOST, True)
    try:
        url = urlsplit(base_url)
        name, port = (url.hostname or "").lower(), url.port
    except ValueError as error:
        raise _bad_url(base_url, str(error)) from error
    if url.scheme.lower() not in _DEFAULT_PORTS or not name:
        raise _bad_url(base_url, "it must be https://host[:port] or http://host[:port]")
    is_wandb = name == "wandb.ai" or name.endswith(".wandb.ai")
    if is_wandb and "api." not in name:
        raise _bad_url(base_url, "did you mean https://api.wandb.ai?")
    if is_wandb and url.scheme.lower() != "https":
        raise _bad_url(base_url, "http is not secure: use https://api.wandb.ai")
    if f"api.{name}" in _UPSTREAM:  # where its web pages are, with the API behind a path
        return Host(f"api.{name}", True)
    return Host(_netloc(url, name, port), is_wandb or name in _UPSTREAM)


def _netloc(url: SplitResult, name: str, port: int | None) -> str:
    if port is None or port == _DEFAULT_PORTS[url.scheme.lower()]:
        return name
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _bad_url(url: str, rule: str) -> CWSandboxAuthenticationError:
    return CWSandboxAuthenticationError(f"the W&B base URL {url!r} cannot be used: {rule}")
