"""The site of `make docs`: what `docs/` says, with pages made from the code's own docstrings."""
