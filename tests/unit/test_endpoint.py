"""Base URLs: what is taken, and how what is not is refused."""

from __future__ import annotations

import pytest

from cwsandbox import _cwsandbox
from cwsandbox._service.endpoint import base_url, target

GOOD = [
    "https://h",
    "http://h",
    "HTTPS://h:8443/",
    "https://H.Example:1",
    "https://user:pass@h?query#fragment",
    "http://[::1]:90",
    "http://[::1]",
    "https://h:0",
    "unix:///run/sandbox.sock",
]

BAD = {
    "ftp://h": "must use http or https scheme",
    "h:443": "must use http or https scheme",
    "": "must use http or https scheme",
    "localhost": "the word 'local'",
    "unix:relative": "unix:///path",
    "https://h/v1": "does not support URL paths",
    "https://": "must have a hostname",
    "https:///": "must have a hostname",
    "https://:443": "must have a hostname",
    "https://h:99999": "port '99999' must be a number from 0 to 65535",
    "https://h:x": "port 'x' must be a number from 0 to 65535",
    "https://h h": "a hostname is made of",
    "https://[::1": "without ']'",
    "unix://relative": "absolute path",
}


@pytest.mark.parametrize("url", GOOD)
def test_good(url: str) -> None:
    _cwsandbox.Channel(target(url))


@pytest.mark.parametrize("url", BAD)
def test_bad(url: str) -> None:
    with pytest.raises(ValueError, match=BAD[url]) as raised:
        _cwsandbox.Channel(target(url))
    assert repr(url) in str(raised.value)
    if url:  # else the default is used
        with pytest.raises(ValueError, match=BAD[url]):
            _cwsandbox.Channel(target(base_url(url)))
