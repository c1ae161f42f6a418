"""The judge: comparison on the host, registered checkers, facts for feedback.

`Judge` is useful alone: `Judge(sandbox).grade(problem, program)`.
"""

from mars2_env.judge.checkers import Checker, register_checker
from mars2_env.judge.compare import TEXT_TOLERANCE, VALUE_TOLERANCE, equal, same_output
from mars2_env.judge.judge import Judge

__all__ = ["TEXT_TOLERANCE", "VALUE_TOLERANCE", "Checker", "Judge", "equal", "register_checker", "same_output"]
