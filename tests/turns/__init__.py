"""Tests of the durable path from event to answer."""
