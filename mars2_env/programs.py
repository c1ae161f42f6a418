"""Programs as texts: names that stood here before they moved to `mars2_env.prompt.programs`."""

from mars2_env.prompt.programs import extract_program, fenced, fenced_blocks, normal_form, parse

__all__ = ["extract_program", "fenced", "fenced_blocks", "normal_form", "parse"]
