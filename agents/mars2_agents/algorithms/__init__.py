"""Algorithms: what each policy learns from finished trees; one readable file each."""
