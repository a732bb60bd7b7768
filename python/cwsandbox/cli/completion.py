"""``cwsandbox completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_PROGRAM = "cwsandbox"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def print_completion(shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
    bash: eval "$(cwsandbox completion bash)"      in ~/.bashrc
    zsh:  eval "$(cwsandbox completion zsh)"       in ~/.zshrc
    fish: cwsandbox completion fish | source       in config.fish
    """
    made = get_completion_class(shell)
    assert made is not None, shell
    root = click.get_current_context().find_root().command
    click.echo(made(root, {}, _PROGRAM, "_CWSANDBOX_COMPLETE").source())
