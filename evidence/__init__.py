"""When do weights help? One command that trains many problems with many weightings and counts."""
