"""What goes wrong with an archive."""

from __future__ import annotations


class ArchiveFault(Exception):
    """``text`` says what is wrong with ``member``: a path below the top, or None for the archive as a whole."""

    def __init__(self, text: str, member: str | None = None) -> None:
        super().__init__(text)
        self.member = member


class ArchiveCut(ArchiveFault):
    """The archive ends before its end."""

    def __init__(self, member: str | None = None) -> None:
        super().__init__("the archive ends in the middle", member)


class CallerError(Exception):
    """Carries ``error``, which a function of the user has raised, past those who handle such exceptions."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def told(error: OSError) -> str:
    """The system's word on a failure, without the path."""
    return error.strerror or str(error)
