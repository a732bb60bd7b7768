"""The command line. Its commands are one file each; ``cli`` is the group that has them all.

Needs click, which nothing else in the package does.
"""

from __future__ import annotations

try:
    import click
except ImportError as error:
    raise ImportError("the command line needs click", name="cwsandbox.cli") from error

from cwsandbox.cli.batch import batches
from cwsandbox.cli.completion import print_completion
from cwsandbox.cli.copy import copy
from cwsandbox.cli.daemon import run_daemon
from cwsandbox.cli.delete import delete_sandbox
from cwsandbox.cli.exec import exec_command
from cwsandbox.cli.files import files
from cwsandbox.cli.fusion import serve_fusion
from cwsandbox.cli.get import get_sandbox
from cwsandbox.cli.list import list_sandboxes
from cwsandbox.cli.local import run_local
from cwsandbox.cli.logs import logs
from cwsandbox.cli.program import Program, use_auth
from cwsandbox.cli.run import run_command
from cwsandbox.cli.runners import runners
from cwsandbox.cli.secrets import secrets
from cwsandbox.cli.shell import shell
from cwsandbox.cli.snapshots import snapshots
from cwsandbox.cli.stop import stop_sandbox
from cwsandbox.cli.templates import all_templates
from cwsandbox.cli.top import show_top
from cwsandbox.cli.volumes import volumes

__all__ = ["cli"]


@click.group("cwsandbox", cls=Program)
@click.version_option(package_name="cwsandbox")
@click.option(
    "--auth",
    type=click.Choice(["coreweave_api_key", "wandb"], case_sensitive=False),
    envvar="CWSANDBOX_AUTH",
    show_envvar=True,
    help="Where credentials come from. With coreweave_api_key a missing CWSANDBOX_API_KEY is an error; "
    "by default the key is sent if there is one. wandb: a Weights & Biases key, from WANDB_API_KEY or `wandb login`.",
)
def cli(auth: str | None) -> None:
    """CWSandbox CLI: run commands in sandboxes.

    The service is the one that CWSANDBOX_BASE_URL names, with the key in CWSANDBOX_API_KEY.
    """
    use_auth(auth)


for command in (
    list_sandboxes,
    show_top,
    get_sandbox,
    exec_command,
    shell,
    logs,
    files,
    copy,
    delete_sandbox,
    stop_sandbox,
    run_command,
    batches,
    snapshots,
    volumes,
    all_templates,
    runners,
    secrets,
    run_daemon,
    run_local,
    serve_fusion,
    print_completion,
):
    cli.add_command(command)
