"""The program ``cwsandbox``, also as ``python -m cwsandbox``."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; say what is missing if it is not installed."""
    _open_standard_streams()
    try:
        from cwsandbox.cli import cli
    except ImportError as error:
        if error.name not in ("click", "cwsandbox.cli"):
            raise
        sys.exit(
            "The command line needs click, which is not installed.\n"
            "Install it with: pip install cwsandbox[cli]"
        )
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    cli()


def _open_standard_streams() -> None:
    """Have nothing at the other end of those that are closed. Else what is opened next would be taken for one."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which this is
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


if __name__ == "__main__":
    main()
