"""Reads logs with grpcio's generated client."""

from __future__ import annotations

from typing import Any

from conformance import protos
from conformance.daemon_client import SECONDS

pb = protos.messages()


def open_log(stub: Any, sandbox_id: str, **fields: Any) -> Any:
    return stub.StreamLogs(pb.StreamLogsRequest(sandbox_id=sandbox_id, **fields), timeout=SECONDS)


def entries(stub: Any, sandbox_id: str, **fields: Any) -> list[Any]:
    return list(open_log(stub, sandbox_id, **fields))


def log(stub: Any, sandbox_id: str, **fields: Any) -> bytes:
    """The data of all entries; none may be an error."""
    got = entries(stub, sandbox_id, **fields)
    assert not [entry.error for entry in got if entry.HasField("error")]
    return b"".join(entry.data for entry in got)


def read_until(stream: Any, text: bytes) -> bytes:
    """Reads entries until their data ends with the text."""
    data = b""
    for entry in stream:
        assert not entry.HasField("error"), entry
        data += entry.data
        if data.endswith(text):
            return data
    raise AssertionError(f"the log ended with {data[-100:]!r}")
