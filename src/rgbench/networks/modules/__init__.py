"""Layers as torch modules, and networks from elsewhere behind the same face."""
