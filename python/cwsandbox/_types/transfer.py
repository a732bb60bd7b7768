"""What a copy into or out of a sandbox comes to."""

from __future__ import annotations

# What makes a dataclass looks into typing if that is there, also while another thread still loads it.
import typing  # noqa: F401
from dataclasses import dataclass


@dataclass(frozen=True)
class TransferResult:
    """What ``upload()`` or ``download()`` has copied.

    - ``files``: how many files; each name of a file with several counts.
    - ``directories``: how many directories, without the top one.
    - ``symlinks``: how many symlinks.
    - ``bytes``: the content of the files.
    """

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    bytes: int = 0
