"""Runs and studies: computed, opened again, applied to images."""
