"""One step: read, weigh, backward, record."""
