"""Searches compared on the same problems with the same luck."""
