"""Language models behind their wire formats."""
