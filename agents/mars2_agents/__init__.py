"""Policies for mars2_env that need more than its core; each heavy dependency is behind an extra and imported late."""

from mars2_agents.policies.transformers import TransformersPolicy

__all__ = ["TransformersPolicy"]
