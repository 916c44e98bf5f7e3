"""What every logger has: the protocol, the guard, pending rows, numbers and names."""
