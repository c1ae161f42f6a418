"""Code that runs inside the sandbox, under the image's own Python: standard library only.

The host imports `values` and `frames` from here, because both ends must agree on them; it never imports the rest.
"""
