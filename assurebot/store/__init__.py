"""Durable state in SQL; no SQL leaves this room."""
