"""The commands of `losses`, one a file."""
