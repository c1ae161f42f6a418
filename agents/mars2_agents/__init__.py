"""Policies for mars2_env that need more than its core; each heavy dependency is behind an extra."""
