"""Reward models that are trained on logs."""
