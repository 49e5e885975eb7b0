"""Pure decisions: who, what, how much; no I/O."""
