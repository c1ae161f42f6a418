"""The words of policies made of policies: what planner, coder, debugger and the user of a tool are asked."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mars2_env.base.checks import text


@dataclass(frozen=True, slots=True)
class StageTemplates:
    """The words of the stages; raise the number in the name where they change.

    They stand behind the turn's own prompt, which says the problem: what all stages of a turn are asked begins alike,
    so that servers find it in their caches. Texts of models and tools are put behind these words, never into them.

    Attributes:
        name: what identities call these words.
        plan: asks for a plan.
        planned: stands before the plan.
        code: asks for the program.
        debug: asks for a repair, behind what the public tests said.
        tool: says how a program is tried; `{tries}` is how often.
        again: stands behind what a try said; `{tries}` is how often the model may still try.
        last: stands there when it may not try any more.
    """

    name: str = "stages-1"
    plan: str = (
        "First a plan: do not write the program yet. Say in at most ten lines which algorithm solves the problem "
        "within its limits, which cases are easily got wrong, and in which steps the program is to be written."
    )
    planned: str = "A plan for this, which may have mistakes:"
    code: str = "Now write the program."
    debug: str = (
        "Find the mistake and correct it. Reply with the complete corrected program in one ```python block, not with "
        "the part that changes."
    )
    tool: str = (
        "Before you answer you may try programs on the public tests, at most {tries} times: reply with the complete "
        "program in one block tagged `test` (```test) and nothing behind it, and you are told what came of it. Your "
        "answer is the first reply without such a block."
    )
    again: str = "You may try {tries} more times, or answer with the complete program in one ```python block."
    last: str = "That was the last try. Answer now, with the complete program in one ```python block."

    def __post_init__(self) -> None:
        for one in fields(self):
            text(one.name, getattr(self, one.name), where="StageTemplates")
