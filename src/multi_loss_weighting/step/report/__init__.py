"""The row of a step: what is in it, and who gets it."""
