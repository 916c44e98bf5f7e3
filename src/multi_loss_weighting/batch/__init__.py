"""What came in: losses read, clamped, and what is not finite."""
