"""Algorithms of other libraries on the bank's vectors, a file for each library, which is imported when it is asked for.

They are there to be compared with, at those libraries' own defaults but for what the game decides: episodes are short
and undiscounted, and many grow side by side.
"""
