"""What ranks agree on and share."""
