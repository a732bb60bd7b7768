"""No test here sees the caller's settings or leaves its own behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cwsandbox._service import auth


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("CWSANDBOX_BASE_URL", "CWSANDBOX_API_KEY", "CWSANDBOX_DAEMON"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(auth, "_mode", None)
    yield
