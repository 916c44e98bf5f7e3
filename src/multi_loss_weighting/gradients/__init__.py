"""The gradient of each loss."""
