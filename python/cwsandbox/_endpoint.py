"""Which service to talk to.

A base URL is ``https://host[:port]``, ``http://host[:port]`` (unencrypted), ``unix:///path`` (a daemon on this
host), or ``local`` (a private daemon, started on first use and ended with this process).
"""

from __future__ import annotations

import os

from cwsandbox._standard import DEFAULT_BASE_URL

LOCAL = "local"


def base_url(argument: str | None, default: str = DEFAULT_BASE_URL) -> str:
    """The URL to use: the argument, else ``CWSANDBOX_BASE_URL``, else the default. A trailing slash is dropped."""
    if argument is not None and not isinstance(argument, str):
        raise TypeError(f"base_url must be a string, got {argument!r}")
    url = argument or os.environ.get("CWSANDBOX_BASE_URL") or default
    return url if url.startswith("unix:") else url.rstrip("/")


def target(url: str) -> str:
    """The URL as the native channel takes it. ``ValueError`` names the URL and the rule it breaks."""
    if url.startswith("unix:"):
        return _unix_target(url)
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError(
            f"base URL {url!r} must use http or https scheme, or be unix:///path or the word 'local'"
        )
    if parts.path not in ("", "/"):
        raise ValueError(
            f"base URL {url!r} has the path {parts.path!r}: the service does not support URL paths"
        )
    if not parts.hostname:
        raise ValueError(f"base URL {url!r} must have a hostname")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError(f"base URL {url!r}: {error}") from None
    return f"{parts.scheme}://{host}:{port}" if port else f"{parts.scheme}://{host}"


def _unix_target(url: str) -> str:
    path = url.removeprefix("unix://")
    if not path.startswith("/"):
        raise ValueError(f"base URL {url!r} must name the socket by an absolute path: unix:///path")
    return url
