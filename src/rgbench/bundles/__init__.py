"""Bundles: the results of a store as one file that others can check, compare and show."""
