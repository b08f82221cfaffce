"""Measures: pure functions of true classes and logits, each with a card; no torch here."""
