"""Tests mirror the package; each states its rule in one sentence."""
