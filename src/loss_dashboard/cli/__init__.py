"""The command `losses`."""

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
