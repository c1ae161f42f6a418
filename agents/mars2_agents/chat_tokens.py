"""Chat messages to token ids: names that stood here before they moved to `mars2_agents.policies.chat_tokens`."""

from mars2_agents.policies.chat_tokens import prompt_ids

__all__ = ["prompt_ids"]
