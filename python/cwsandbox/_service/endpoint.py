"""Which service to talk to.

A base URL is ``https://host[:port]``, ``http://host[:port]`` (unencrypted), ``unix:///path`` (a daemon on this
host), or ``local`` (a private daemon, started on first use and ended with this process).
"""

from __future__ import annotations

import os

from cwsandbox._types.standard import DEFAULT_BASE_URL

LOCAL = "local"


def base_url(argument: str | None, default: str = DEFAULT_BASE_URL) -> str:
    """The URL to use: the argument, else ``CWSANDBOX_BASE_URL``, else the default. A trailing slash is dropped."""
    if argument is not None and not isinstance(argument, str):
        raise TypeError(f"base_url must be a str, got {argument!r}")
    url = argument or os.environ.get("CWSANDBOX_BASE_URL") or default
    stripped = url.rstrip("/")
    return url if url.startswith("unix:") or stripped.endswith(":") else stripped


def target(url: str) -> str:
    """The URL for the native channel, which takes it apart and checks the rest. ``ValueError`` for another scheme."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https", "unix"):
        raise ValueError(
            f"base URL {url!r} must use http or https scheme, or be unix:///path or the word 'local'"
        )
    return url
