"""`smp completion`."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell completion script for SHELL.

    It completes commands, options, stages and models.

    \b
    bash: smp completion bash > ~/.local/share/bash-completion/completions/smp
    zsh:  smp completion zsh > ~/.zfunc/_smp     (a folder of fpath, before compinit)
    fish: smp completion fish > ~/.config/fish/completions/smp.fish
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all of SHELLS"
    click.echo(kind(root.command, {}, "smp", "_SMP_COMPLETE").source())
