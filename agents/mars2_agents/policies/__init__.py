"""Policies that write programs with language models, one file for each way to run one."""

from mars2_agents.policies.transformers import TransformersPolicy

__all__ = ["TransformersPolicy"]
