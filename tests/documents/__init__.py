"""Reading files of strangers."""
