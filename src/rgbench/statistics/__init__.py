"""Statistics of arrays: intervals, tests, power, trends. Nothing here knows a run."""
