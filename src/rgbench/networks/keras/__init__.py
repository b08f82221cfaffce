"""Weights and files of Keras."""
