"""A run in the terminal: charts in braille, a table and the alerts."""
