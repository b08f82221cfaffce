"""A classifier trained further on one's own sources, and whether it beats the one that it came from."""
