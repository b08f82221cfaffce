"""Layers as text and numbers, without torch."""
