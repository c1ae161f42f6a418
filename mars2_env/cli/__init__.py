"""The command line, `mars2`: thin commands over the library's public functions.

Errors of the library's own family end a command with one sentence and exit status 2; programs and other packages add
commands of their own (`register_command`, the entry-point group `mars2_env.commands`).
"""

from mars2_env.cli.main import COMMANDS, app, main, register_command

__all__ = ["COMMANDS", "app", "main", "register_command"]
