"""Where credentials come from, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from cwsandbox import (
    AuthHeaders,
    AuthProvider,
    AuthStrategy,
    CWSandboxAuthenticationError,
    Sandbox,
    set_auth_mode,
)
from cwsandbox._service import auth as _auth

URL = "https://h"


class Provider:
    def __init__(self, found: Any) -> None:
        self.found = found
        self.urls: list[str] = []

    def resolve_auth(self, *, base_url: str) -> Any:
        self.urls.append(base_url)
        return self.found


def test_no_credentials_is_no_error() -> None:
    assert _auth.metadata(None, URL) == ()


def test_api_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_API_KEY", "key")
    for auth in (None, AuthStrategy.COREWEAVE_API_KEY):
        assert _auth.metadata(auth, URL) == (("authorization", "Bearer key"),)


@pytest.mark.parametrize("value", [None, ""])
def test_a_required_key_that_is_missing(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is not None:
        monkeypatch.setenv("CWSANDBOX_API_KEY", value)
    with pytest.raises(CWSandboxAuthenticationError, match="CWSANDBOX_API_KEY"):
        _auth.metadata(AuthStrategy.COREWEAVE_API_KEY, URL)


def test_headers_are_taken_as_they_are() -> None:
    headers = AuthHeaders({"X-Key": "1", "x-other": ""}, "mine")
    assert _auth.metadata(headers, URL) == (("x-key", "1"), ("x-other", ""))
    assert headers
    assert not AuthHeaders({}, "none")


def test_no_text_about_credentials_shows_a_value() -> None:
    headers = AuthHeaders({"Authorization": "Bearer s3cret", "X-Other": "s3cret"}, "mine")
    assert repr(headers) == str(headers)
    assert repr(headers) == (
        "AuthHeaders(headers={'Authorization': '<redacted>', 'X-Other': '<redacted>'}, strategy='mine')"
    )
    with pytest.raises(TypeError, match="container_image must be a str") as raised:
        Sandbox(container_image=headers)  # type: ignore[arg-type]
    assert "s3cret" not in str(raised.value)
    with pytest.raises(TypeError, match="get_auth must be callable, got a str") as raised:
        set_auth_mode("mine", "s3cret")  # type: ignore[arg-type]
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("headers", [None, "s3cret", ["s3cret"]])
def test_headers_that_are_none_are_not_shown(headers: Any) -> None:
    wrong = AuthHeaders(headers, "mine")
    assert repr(wrong) == f"AuthHeaders(headers=<{type(headers).__name__}>, strategy='mine')"


def test_provider() -> None:
    provider = Provider(AuthHeaders({"X-Key": "1"}, "mine"))
    assert isinstance(provider, AuthProvider)
    assert _auth.metadata(provider, URL) == (("x-key", "1"),)
    assert provider.urls == [URL]


@pytest.mark.parametrize("found", [None, {"x": "1"}])
def test_provider_without_credentials(found: Any) -> None:
    said = f"auth provider Provider returned no credentials: {type(found).__name__}, not"
    with pytest.raises(CWSandboxAuthenticationError, match=said):
        _auth.metadata(Provider(found), URL)


@pytest.mark.parametrize("auth", ["coreweave_api_key", 5, object(), Provider])
def test_other_things_are_refused(auth: Any) -> None:
    with pytest.raises(TypeError, match="auth must be"):
        _auth.metadata(auth, URL)


def test_process_wide_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CWSANDBOX_API_KEY", "key")
    set_auth_mode("first", lambda: AuthHeaders({"x": "1"}, "first"))
    set_auth_mode("second", lambda: AuthHeaders({"X": "2"}, "second"))
    assert _auth.metadata(None, URL) == (("x", "2"),)
    assert _auth.metadata(AuthStrategy.COREWEAVE_API_KEY, URL)[0][0] == "authorization"


def test_mode_without_credentials() -> None:
    nothing: Any = lambda: None  # noqa: E731
    set_auth_mode("broken", nothing)
    said = "auth mode 'broken' returned no credentials: NoneType, not AuthHeaders"
    with pytest.raises(CWSandboxAuthenticationError, match=said):
        _auth.metadata(None, URL)
    with pytest.raises(TypeError, match="callable"):
        set_auth_mode("x", nothing())


def test_a_failure_of_the_mode_is_passed_on() -> None:
    def fail() -> AuthHeaders:
        raise OSError("vault is sealed")

    set_auth_mode("vault", fail)
    with pytest.raises(OSError, match="vault is sealed"):
        _auth.metadata(None, URL)


@pytest.mark.parametrize("value", ["s3cret\n", "schlüssel", "\x00"])
def test_values_that_cannot_be_sent_are_refused_without_showing_them(value: str) -> None:
    with pytest.raises(CWSandboxAuthenticationError, match="printable ASCII") as raised:
        _auth.metadata(AuthHeaders({"x-key": value}, "mine"), URL)
    assert value.strip() not in str(raised.value)


@pytest.mark.parametrize("name", ["", "x key", "x\nkey", "ü"])
def test_names_that_cannot_be_sent(name: str) -> None:
    with pytest.raises(CWSandboxAuthenticationError, match="header name"):
        _auth.metadata(AuthHeaders({name: "v"}, "mine"), URL)


def test_what_may_block() -> None:
    assert not _auth.runs_foreign_code(None)
    assert not _auth.runs_foreign_code(AuthStrategy.COREWEAVE_API_KEY)
    assert not _auth.runs_foreign_code(AuthHeaders({}, "x"))
    assert _auth.runs_foreign_code(Provider(None))
    set_auth_mode("x", lambda: AuthHeaders({}, "x"))
    assert _auth.runs_foreign_code(None)
