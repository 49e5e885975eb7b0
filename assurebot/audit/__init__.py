"""The chained record: append, recover, verify."""
