"""Losses that are not read back at each step."""
