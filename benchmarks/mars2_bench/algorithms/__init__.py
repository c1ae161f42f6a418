"""Reference algorithms for the named environments: one readable file each, small networks, PyTorch on one core."""
