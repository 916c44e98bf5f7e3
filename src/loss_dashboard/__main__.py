"""The command `losses`, as `python -m loss_dashboard`."""

from .command import app

app(prog_name="losses")
