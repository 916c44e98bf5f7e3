"""The running numbers of losses."""
