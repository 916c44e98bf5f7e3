"""Which runs there are, what is known of each, and whether its folder is sound."""
