"""Track, weigh and log the losses of a network that has more than one."""
