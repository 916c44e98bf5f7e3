"""Look at recorded losses and weights."""
