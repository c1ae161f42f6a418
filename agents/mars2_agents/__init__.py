"""Policies for mars2_env that need more than its core; each heavy dependency is behind an extra and imported late."""

from mars2_agents.policies.replicas import Replicas
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_agents.policies.vllm_server import ServerOptions, VLLMServer

__all__ = ["Replicas", "ServerOptions", "TransformersPolicy", "VLLMPolicy", "VLLMServer"]
