"""One framework a file; import the one that you use, e.g. `integrations.lightning`."""
