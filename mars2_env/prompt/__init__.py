"""From a place in a tree to chat messages, and from a reply to its program; pure.

Contexts (`contexts`) are values that say what may be told; templates (`templates`) turn them into words; a prompt that
is too long is one whose context is cut down until its words fit (`fitting`); `Prompts` (`named`) is all that, by name.
`programs` finds the program in a reply, and says when two programs are the same.
"""

from mars2_env.prompt.contexts import (
    Attempt,
    Context,
    FreshContext,
    PlayContext,
    RefinementContext,
    UnseenContext,
    place_context,
    play_context,
)
from mars2_env.prompt.fitting import ORDER, Part, TokenCounter, estimated_tokens, fitted, tokens_of
from mars2_env.prompt.named import MAX_TOKENS, MIN_TOKENS, Prompts, make_prompts, prompts_config, prompts_from
from mars2_env.prompt.programs import extract_program
from mars2_env.prompt.templates import (
    TEMPLATES,
    BaseTemplates,
    ChatTemplates,
    ReasoningTemplates,
    Templates,
    TemplatesByAgent,
    answer_text,
    completion,
    feedback_text,
    messages_text,
    register_templates,
    task_text,
)

__all__ = [
    "MAX_TOKENS",
    "MIN_TOKENS",
    "ORDER",
    "TEMPLATES",
    "Attempt",
    "BaseTemplates",
    "ChatTemplates",
    "Context",
    "FreshContext",
    "Part",
    "PlayContext",
    "Prompts",
    "ReasoningTemplates",
    "RefinementContext",
    "Templates",
    "TemplatesByAgent",
    "TokenCounter",
    "UnseenContext",
    "answer_text",
    "completion",
    "estimated_tokens",
    "extract_program",
    "feedback_text",
    "fitted",
    "make_prompts",
    "messages_text",
    "place_context",
    "play_context",
    "prompts_config",
    "prompts_from",
    "register_templates",
    "task_text",
    "tokens_of",
]
