"""Text out of files of strangers, in a limited child."""
