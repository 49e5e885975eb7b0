"""The kill harness: end the program with `kill -9` again and again, then count what was lost."""
