"""Connections to sandboxes' own endpoints, with a certificate instead of credentials. On the policy loop only."""

from __future__ import annotations

from cwsandbox import _cwsandbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

COOL_DOWN = 30.0
LONGEST = 600.0


def new_request() -> tuple[bytes, bytes]:
    """A new private key (PEM) and the request to certify it (DER)."""
    return _cwsandbox._certificate_request()


async def dial(
    endpoint: str, roots_pem: bytes | None, chain_pem: bytes, key_pem: bytes, timeout: float
) -> _cwsandbox.Channel:
    """A channel that is connected. ``ValueError`` says why it cannot be."""
    channel = _cwsandbox.Channel(
        endpoint, roots_pem=roots_pem, cert_chain_pem=chain_pem, private_key_pem=key_pem
    )
    try:
        await channel.connect(timeout)
    except _cwsandbox.RpcError as error:
        raise ValueError(f"{endpoint} cannot be reached: {error.message}") from None
    return channel


class BackOff:
    """How long those who have failed are left alone, by name."""

    def __init__(self, clock: Callable[[], float], longest: float) -> None:
        self._clock = clock
        self._longest = longest
        self._failed: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Seconds until it may be tried again."""
        until, _ = self._failed.get(name, (0.0, 0.0))
        return max(0.0, until - self._clock())

    def note_failure(self, name: str) -> None:
        """Longer each time in a row, up to the longest."""
        _, before = self._failed.get(name, (0.0, 0.0))
        pause = min(max(COOL_DOWN, 2 * before), self._longest)
        self._failed[name] = (self._clock() + pause, pause)

    def note_success(self, name: str) -> None:
        self._failed.pop(name, None)
