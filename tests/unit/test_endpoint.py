"""Base URLs as targets of the native channel."""

from __future__ import annotations

import pytest

from cwsandbox import _cwsandbox
from cwsandbox._endpoint import target

GOOD = {
    "https://h": "https://h",
    "http://h": "http://h",
    "https://h:8443/": "https://h:8443",
    "https://H.Example:1": "https://h.example:1",
    "https://user:pass@h?query#fragment": "https://h",
    "http://[::1]:90": "http://[::1]:90",
    "http://[::1]": "http://[::1]",
    "https://h:0": "https://h",
    "unix:///run/sandbox.sock": "unix:///run/sandbox.sock",
}

BAD = {
    "ftp://h": "must use http or https scheme",
    "h:443": "must use http or https scheme",
    "": "must use http or https scheme",
    "localhost": "must use http or https scheme",
    "https://h/v1": "does not support URL paths",
    "https://": "must have a hostname",
    "https://:443": "must have a hostname",
    "https://h:99999": "99999|range",
    "unix:relative": "absolute path",
    "unix://relative": "absolute path",
}


@pytest.mark.parametrize("url", GOOD)
def test_good(url: str) -> None:
    assert target(url) == GOOD[url]
    _cwsandbox.Channel(target(url))


@pytest.mark.parametrize("url", BAD)
def test_bad(url: str) -> None:
    with pytest.raises(ValueError, match=BAD[url]) as raised:
        target(url)
    assert repr(url) in str(raised.value)
