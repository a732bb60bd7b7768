"""Where the package says what it does, for whoever traces it. Nobody does before ``cwsandbox.instrument()``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Any, Protocol

    class Subject(Protocol):
        """What an operation is about."""

        @property
        def sandbox_id(self) -> str | None: ...

    class Span(Protocol):
        """An operation that is under way. What leaves its block is its failure."""

        def set(self, name: str, value: Any) -> None:
            """An attribute."""

        def fail(self, kind: str, text: str) -> None:
            """It has failed, and nothing is raised."""

    class Tracer(Protocol):
        """Who traces."""

        def span(self, operation: str, subject: Subject | None) -> AbstractContextManager[Span]:
            """An operation of several calls; the calls inside belong to it."""

        def add(self, subject: Any) -> None:
            """A sandbox's handle was made."""

        def running(self, seconds: float) -> None:
            """A sandbox was seen to run, so long after it was asked for."""


class _Untraced:
    """A span that nobody sees."""

    def __enter__(self) -> _Untraced:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def set(self, name: str, value: Any) -> None:
        pass

    def fail(self, kind: str, text: str) -> None:
        pass


UNTRACED = _Untraced()
tracer: Tracer | None = None


def span(operation: str, subject: Subject | None = None) -> AbstractContextManager[Span]:
    """As ``Tracer.span``; nothing without a tracer."""
    return UNTRACED if tracer is None else tracer.span(operation, subject)
