"""Policies that write programs with language models, one file for each way to run one."""

from mars2_agents.policies.replicas import Replicas
from mars2_agents.policies.transformers import TransformersPolicy
from mars2_agents.policies.vllm import VLLMPolicy
from mars2_agents.policies.vllm_server import ServerOptions, VLLMServer

__all__ = ["Replicas", "ServerOptions", "TransformersPolicy", "VLLMPolicy", "VLLMServer"]
