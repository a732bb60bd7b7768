"""``cwsandbox serve-fusion``."""

from __future__ import annotations

import signal
import sys

import click

from cwsandbox import Limits, SandboxPool
from cwsandbox.cli.failure import Failure


@click.command("serve-fusion")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0: one that is free.",
)
@click.option(
    "--ready",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="So many sandboxes are kept ready.",
)
@click.option(
    "--alive",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="So many sandboxes at most; further requests wait.",
)
@click.option("--image", help="The container image of the sandboxes.")
def serve_fusion(host: str, port: int, ready: int, alive: int, image: str | None) -> None:
    """Serve SandboxFusion's POST /run_code, each request in a sandbox of its own.

    There is no authentication. Prints the address once requests are taken. SIGINT and SIGTERM end it.
    """
    # Here, since it takes an HTTP server, which no other command needs.
    from cwsandbox.integrations.fusion import FusionServer

    def end(number: int, _: object) -> None:
        sys.exit(0)

    try:
        pool = SandboxPool(min(ready, alive), limits=Limits(alive=alive), container_image=image)
        server = FusionServer((host, port), pool)
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {error.strerror}") from error
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    with pool, server:
        named = f"[{host}]" if ":" in host else host
        click.echo(f"http://{named}:{server.server_port}/run_code")
        sys.stdout.flush()
        server.serve_forever()
