"""``cwsandbox stop``."""

from __future__ import annotations

import click

from cwsandbox import Sandbox, SandboxNotFoundError
from cwsandbox.cli.values import COUNT_MAX, Seconds, quiet_option, sandbox_argument


@click.command("stop")
@sandbox_argument
@click.option("--missing-ok", is_flag=True, help="It is no failure that there is none.")
@click.option(
    "--graceful-shutdown-seconds",
    "grace",
    type=Seconds(min=0, max=COUNT_MAX),
    default=10.0,
    show_default=True,
    help="How long the main process may take to end before it is killed.",
)
@click.option(
    "--snapshot-on-stop", is_flag=True, help="Save its scratch volumes before it is gone."
)
@click.option(
    "--wait-for-snapshot/--no-wait-for-snapshot",
    "wait",
    default=True,
    help="Whether to wait until what is saved can be restored. Default: --wait-for-snapshot.",
)
@click.option("--request-id", help="A key: the same one gives the same snapshots.")
@quiet_option
def stop_sandbox(
    sandbox_id: str,
    missing_ok: bool,
    grace: float,
    snapshot_on_stop: bool,
    wait: bool,
    request_id: str | None,
    quiet: bool,
) -> None:
    """Stop a sandbox and wait for its end."""
    for option, is_given in (
        ("--no-wait-for-snapshot", not wait),
        ("--request-id", request_id is not None),
    ):
        if is_given and not snapshot_on_stop:
            raise click.UsageError(f"{option} says nothing without --snapshot-on-stop.")
    said = f"Stopped sandbox {sandbox_id}."
    try:
        sandbox = Sandbox.from_id(sandbox_id).result()
    except SandboxNotFoundError:
        if not missing_ok:
            raise
        said = f"Sandbox {sandbox_id} is already missing."
    else:
        sandbox.stop(
            snapshot_on_stop=snapshot_on_stop,
            graceful_shutdown_seconds=grace,
            missing_ok=missing_ok,
            wait_for_ready=wait,
            request_id=request_id,
        ).result()
        if sandbox.file_system_snapshot_id is not None:
            said += f" Snapshot {sandbox.file_system_snapshot_id}."
    if not quiet:
        click.echo(said)
