"""Files of whole lines that only grow, and the watch over what is written."""
