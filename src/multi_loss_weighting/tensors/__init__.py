"""What is done with tensors, whatever they hold: packed, sent to the host, made without a graph."""
