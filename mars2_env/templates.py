"""The words of prompts: names that stood here before they moved to `mars2_env.prompt.templates`."""

from mars2_env.prompt.templates import (
    TEMPLATES,
    BaseTemplates,
    ChatTemplates,
    ReasoningTemplates,
    Templates,
    TemplatesByAgent,
    attempt_text,
    completion,
    feedback_text,
    messages_text,
    outcome_text,
    register_templates,
    task_text,
)

__all__ = [
    "TEMPLATES",
    "BaseTemplates",
    "ChatTemplates",
    "ReasoningTemplates",
    "Templates",
    "TemplatesByAgent",
    "attempt_text",
    "completion",
    "feedback_text",
    "messages_text",
    "outcome_text",
    "register_templates",
    "task_text",
]
