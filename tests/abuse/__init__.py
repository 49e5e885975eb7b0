"""The abuse corpus: what hostile programs try, what has to come of it, and what has to be left."""
