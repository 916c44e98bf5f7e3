"""The command `losses`, as `python -m loss_dashboard`."""

from .cli.losses import app

app(prog_name="losses")
