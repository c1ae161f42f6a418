"""Several agents grow one search tree of candidate programs for a coding problem."""

__version__ = "0.1.0"
