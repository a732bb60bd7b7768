"""The program ``cwsandbox``, also as ``python -m cwsandbox``."""

from __future__ import annotations

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line; say what is missing if it is not installed."""
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


if __name__ == "__main__":
    main()
