"""Measurements of speed and of quality; each prints what it measured and on what."""
