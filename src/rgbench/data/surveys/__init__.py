"""Surveys, their cutout services, and links to pages about a position."""
