"""Configurations of `mars2 train` that come with the package."""
