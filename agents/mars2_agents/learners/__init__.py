"""Learners: losses, and what turns samples into new weights; torch, behind the extra `transformers`."""
