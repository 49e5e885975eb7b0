"""Tests of the chained record."""
