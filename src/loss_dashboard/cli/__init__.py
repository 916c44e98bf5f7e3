"""The command `losses`."""
