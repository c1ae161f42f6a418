"""Pictures of trees; they read nodes and events and change nothing."""

from mars2_env.render.text import printable, printable_line, tree_text

__all__ = ["printable", "printable_line", "tree_text"]
