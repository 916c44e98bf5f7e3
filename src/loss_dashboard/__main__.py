"""The command `losses`, as `python -m loss_dashboard`."""

from .cli.start import main

main()
