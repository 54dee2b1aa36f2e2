"""`cupel completion`: what makes a shell complete Cupel's commands."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, jobs, changes, builds and more.

    For bash, `eval "$(cupel completion bash)"` belongs into ~/.bashrc; for zsh the same with zsh,
    after compinit, into ~/.zshrc; for fish, `cupel completion fish | source` into
    ~/.config/fish/config.fish.
    """
    from click.shell_completion import get_completion_class

    from cupel.cli import main

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(main.cli, {}, "cupel", main.COMPLETING).source())
