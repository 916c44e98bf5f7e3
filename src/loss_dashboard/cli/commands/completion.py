"""`losses completion`: what a shell needs to complete what is typed."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what lets a shell complete commands, options and the names of runs.

    Append it to a file that the shell reads as it starts; a new terminal then completes.
    """
    from click.shell_completion import shell_complete

    losses = context.find_root().command
    context.exit(shell_complete(losses, {}, "losses", "_LOSSES_COMPLETE", f"{shell}_source"))
