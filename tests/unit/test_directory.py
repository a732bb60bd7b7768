"""List, look up and delete by id against a scripted service."""

from __future__ import annotations

from typing import Any

import pytest

from cwsandbox import exceptions
from cwsandbox._lifecycle import directory as _directory
from cwsandbox._service.rpc import Code
from unit.service import Service, environment, failure, run, sandbox

NOT_FOUND = failure(Code.NOT_FOUND)


def page(*ids: str, token: str = "") -> dict[str, Any]:
    return {"sandboxes": [sandbox("running", name) for name in ids], "next_page_token": token}


def find(service: Service, timeout: float = 10, **filters: Any) -> list[str]:
    found = run(_directory.find(service.call, environment(), filters, timeout))
    return [message["sandbox_id"] for message in found]


def test_all_pages() -> None:
    service = Service(ListSandboxes=[page("a", "b", token="t1"), page("c", token="t2"), page()])
    assert find(service, tags=["x"]) == ["a", "b", "c"]
    assert [sent.request for sent in service.sent] == [
        {"tags": ["x"]},
        {"tags": ["x"], "page_token": "t1"},
        {"tags": ["x"], "page_token": "t2"},
    ]


def test_a_repeated_token_is_a_loop() -> None:
    service = Service(
        ListSandboxes=[page("a", token="t1"), page("b", token="t2"), page(token="t1")]
    )
    with pytest.raises(exceptions.CWSandboxError, match="pagination loop"):
        find(service)


def test_too_many_pages() -> None:
    pages = [page(token=f"t{index}") for index in range(101)]
    with pytest.raises(exceptions.CWSandboxError, match="exceeded 100 pages"):
        find(Service(ListSandboxes=list(pages)))


def test_one_deadline_for_all_pages() -> None:
    async def slow(request: dict[str, Any]) -> dict[str, Any]:
        import asyncio

        await asyncio.sleep(4)
        return page("a", token=f"{request.get('page_token', '')}+")

    service = Service(ListSandboxes=[slow])
    with pytest.raises(exceptions.CWSandboxError, match="timed out after 10s") as raised:
        find(service)
    assert type(raised.value) is exceptions.CWSandboxError
    assert [sent.timeout for sent in service.sent] == [10.0, 6.0, 2.0]


def test_a_failed_page_is_translated() -> None:
    with pytest.raises(exceptions.SandboxUnavailableError, match="List sandboxes"):
        find(Service(ListSandboxes=[failure(Code.UNAVAILABLE)]))


def test_get() -> None:
    service = Service(GetSandbox=[sandbox("failed")])
    assert run(_directory.get(service.call, "sb-1", 7))["sandbox_id"] == "sb-1"
    assert service.sent[0].timeout == 7
    with pytest.raises(exceptions.SandboxNotFoundError) as raised:
        run(_directory.get(Service(GetSandbox=[NOT_FOUND]).call, "sb-9", 7))
    assert raised.value.sandbox_id == "sb-9"


def delete(service: Service, missing_ok: bool = False) -> None:
    run(_directory.delete(service.call, environment(), "sb-1", missing_ok=missing_ok, timeout=30))


def test_delete_is_immediate_and_does_not_wait() -> None:
    service = Service(DeleteSandbox=[{}])
    delete(service)
    assert [(sent.method, sent.request) for sent in service.sent] == [
        ("DeleteSandbox", {"sandbox_id": "sb-1"})
    ]


@pytest.mark.parametrize(
    "missing", [NOT_FOUND, failure(Code.INTERNAL, reason="CWSANDBOX_SANDBOX_NOT_FOUND")]
)
def test_delete_of_a_missing_one(missing: Exception) -> None:
    with pytest.raises(exceptions.SandboxNotFoundError):
        delete(Service(DeleteSandbox=[missing]))
    delete(Service(DeleteSandbox=[missing]), missing_ok=True)


def test_delete_other_failures() -> None:
    with pytest.raises(exceptions.SandboxError):
        delete(Service(DeleteSandbox=[failure(Code.INTERNAL)]), missing_ok=True)


def test_delete_is_repeated_when_the_server_asks() -> None:
    busy = failure(Code.UNAVAILABLE, delay=1)
    service = Service(DeleteSandbox=[busy, NOT_FOUND])
    delete(service)
    assert service.times("DeleteSandbox") == [0.0, 1.2]
