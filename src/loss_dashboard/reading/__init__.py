"""A run, read while it is written."""

from ._run_reader import RunReader as RunReader
