"""Data: catalogues, cards, splits, sky groups, and the data sets themselves."""
