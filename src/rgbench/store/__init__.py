"""Runs on disk: their directories, their tables, and what stands beside them."""
