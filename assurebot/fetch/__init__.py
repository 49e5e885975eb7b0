"""Outward HTTP that cannot be turned inward."""
