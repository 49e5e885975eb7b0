"""The clock that wakes schedules; the store knows what is due."""
