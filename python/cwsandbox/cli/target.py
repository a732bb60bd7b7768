"""A file of this host that a command writes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click


def check_folder(_: click.Context, __: click.Parameter, path: str | None) -> str | None:
    """The path, if the folder of the file is there. Else nothing needs to be asked for."""
    if path == "":
        raise click.BadParameter("must not be empty.")
    if path is not None and not Path(path).parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(Path(path).parent)!r}.")
    return path


def write(path: Path, content: bytes) -> None:
    """Give a file this content. If that fails, it has its old one."""
    try:
        if path.exists() and not path.is_file():  # such as /dev/null
            path.write_bytes(content)
        else:
            _replace(path.resolve(), content)  # a symlink stays one
    except OSError as error:
        error.filename = str(path)
        raise


def _replace(path: Path, content: bytes) -> None:
    number, name = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(content)
            os.fchmod(number, path.stat().st_mode & 0o777 if path.exists() else _new_mode())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _new_mode() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
