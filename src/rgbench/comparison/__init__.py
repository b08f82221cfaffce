"""Comparison: intervals, paired differences, and the summary of a study; tables only, no torch."""
