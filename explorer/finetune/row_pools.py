"""The names of the pools that target rows are drawn from, for readers."""

POOLS = {"all": "All", "B": "Pool B"}
