"""The words of the library as types: problems, runs, verdicts, turns, replies, policies.

Everything here is a frozen value or a protocol. Nothing here does I/O and nothing imports from the rest of the package
but errors and checks, so that a policy, a selector or a sandbox can be written against this one file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from itertools import pairwise, zip_longest
from keyword import iskeyword
from operator import index
from reprlib import Repr
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict, get_args, runtime_checkable

from mars2_env.base.checks import flag, instance, is_whole, real_number, said, text, whole_number
from mars2_env.base.plain import why_not_plain
from mars2_env.base.sizes import text_size, written_size
from mars2_env.base.texts import well_formed
from mars2_env.errors import EpisodeError, JudgeError, PolicyError, ProblemError, SandboxError, unknown_name

Outcome: TypeAlias = Literal[
    "passed",
    "wrong_answer",
    "runtime_error",
    "compile_error",
    "time_limit",
    "memory_limit",
    "output_limit",
    "no_program",
    "illegal",
    "not_run",
]
"""What became of one test, or of a whole expansion."""

Status: TypeAlias = Literal["ok", "runtime_error", "compile_error", "time_limit", "memory_limit", "output_limit"]
"""How one execution in the sandbox ended. `ok` says only that it ended by itself: the judge compares the output."""


class _Brief(Repr):
    """Plain data cut short, whole numbers of any length among them: Python refuses to write those of 4,301 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 40
        self.maxlevel = 2

    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 10_000 else f"<int of {x.bit_length()} bits>"


_BRIEF: Final = _Brief()

_OUTCOMES: Final = frozenset(get_args(Outcome))

TestGroup: TypeAlias = Literal["public", "scoring", "hidden"]
GROUPS: Final[tuple[TestGroup, ...]] = ("public", "scoring", "hidden")


def _is_outcome(value: object) -> bool:
    return isinstance(value, str) and value in _OUTCOMES


@dataclass(frozen=True, slots=True)
class Stdin:
    """The program reads standard input and writes standard output; inputs and outputs are texts.

    `prelude` is Python that runs before a Python program, in its namespace, as in `Call`.
    """

    prelude: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        text("prelude", self.prelude, where="Stdin", error=ProblemError)


@dataclass(frozen=True, slots=True)
class Call:
    """The program defines a function `name`; an input is a list of positional arguments, an output its return value.

    A program that has no such function may have a class `Solution` with a method of that name, as on LeetCode.
    `prelude` is Python that runs before the program, in its namespace: imports that the source of a problem puts before
    every program. It runs where the program runs, and is no part of it: line numbers do not count it.
    """

    name: str
    prelude: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or iskeyword(self.name):
            raise ProblemError(f"Call(name={self.name!r}): the name must be a Python identifier and no keyword.")
        text("prelude", self.prelude, where="Call", error=ProblemError)


Interface: TypeAlias = Stdin | Call


MAX_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use.

    `cpu_seconds` (summed over all processes of the run) decides verdicts; `wall_seconds` is the backstop for what
    sleeps or waits, several times larger. Time in which the machine kept the run from going on (others had the cores,
    the worker was throttled or paused) does not count, so that a busy machine does not change a verdict.
    `memory_bytes` bounds the run's memory, `output_bytes` what it may write to standard output (or return, encoded),
    `processes` how many processes and threads it may hold.
    A problem raises `output_bytes` where one of its expected outputs would not fit twice.
    """

    cpu_seconds: float = 3.0
    wall_seconds: float = 9.0
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 2**20
    processes: int = 64

    def __post_init__(self) -> None:
        for name in ("cpu_seconds", "wall_seconds"):
            object.__setattr__(
                self, name, real_number(name, getattr(self, name), above=0, where="Limits", error=ProblemError)
            )
        for name in ("memory_bytes", "output_bytes", "processes"):
            number = real_number(name, getattr(self, name), least=1, where="Limits", error=ProblemError)
            if number != int(number):
                raise ProblemError(f"{said(name, number, 'Limits')}: must be a whole number.")
            object.__setattr__(self, name, number)
        if self.wall_seconds > MAX_SECONDS:
            raise ProblemError(f"Limits(wall_seconds={self.wall_seconds}): at most a day ({MAX_SECONDS} s).")
        if self.wall_seconds < self.cpu_seconds:
            raise ProblemError(
                f"Limits(cpu_seconds={self.cpu_seconds}, wall_seconds={self.wall_seconds}): "
                "the wall limit is the backstop and must not be below the CPU limit; 3 times it is usual."
            )


@dataclass(frozen=True, slots=True)
class TestCase:
    """One input and the output expected for it.

    For `Stdin` both are texts. For `Call` the input is a list of positional arguments and the output the return value,
    both plain data (None, bool, int, float, str, bytes, list, tuple, set, frozenset, dict, complex).
    """

    __test__ = False  # pytest: not a test class

    input: Any
    output: Any

    def __repr__(self) -> str:
        """The test, long values cut short: a contest's input may have megabytes."""
        return f"TestCase({_BRIEF.repr(self.input)}, {_BRIEF.repr(self.output)})"


@dataclass(frozen=True, slots=True)
class PublicView:
    """All of a problem that search, selectors, prompts and policies ever see."""

    id: str
    statement: str
    interface: Interface
    public: tuple[TestCase, ...]
    starter_code: str
    limits: Limits
    seed_program: str | None = None

    def __post_init__(self) -> None:
        for name in ("id", "statement", "starter_code"):
            text(name, getattr(self, name), where="PublicView", error=ProblemError)
        for name, kind, wanted in (
            ("interface", Stdin | Call, "Stdin() or Call(name)"),
            ("public", tuple, "a tuple of TestCases; take a problem's public_view()"),
            ("limits", Limits, "a Limits, such as Limits()"),
            ("seed_program", str | None, "a program, or None"),
        ):
            instance(name, getattr(self, name), kind, wanted, where="PublicView", error=ProblemError)

    def __repr__(self) -> str:
        """Which problem it is, in short."""
        return f"PublicView({self.id!r}, {self.interface!r}, {len(self.public)} public tests)"


@dataclass(frozen=True, slots=True)
class Problem:
    """A programming problem with its three groups of tests.

    `public` tests may be quoted in prompts and feedback, `scoring` tests drive training rewards and are never quoted,
    `hidden` tests are for evaluation alone. `checker` names a registered checker for problems with several right
    answers (`mars2_env.judge.register_checker`). `reference` is a program known to be right, if any. `seed_program`, in
    a repair problem, is the program to be repaired: the root of the tree holds it.
    """

    id: str
    statement: str
    interface: Interface = field(default_factory=Stdin)
    public: tuple[TestCase, ...] = ()
    scoring: tuple[TestCase, ...] = ()
    hidden: tuple[TestCase, ...] = ()
    checker: str | None = None
    starter_code: str = ""
    limits: Limits = field(default_factory=Limits)
    reference: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    seed_program: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise ProblemError(f"Problem(id={self.id!r}): the id must be a non-empty text.")
        for name in ("id", "statement", "starter_code"):
            text = getattr(self, name)
            if not isinstance(text, str) or well_formed(text) != text:
                raise ProblemError(f"Problem {self.id!r}: {name} must be a text without lone surrogates.")
        program = self.seed_program
        if program is not None and (
            not isinstance(program, str) or not program.strip() or well_formed(program) != program
        ):
            raise ProblemError(
                f"Problem {self.id!r}: seed_program={program!r:.80} must be a program without lone surrogates, or None."
            )
        if not isinstance(self.interface, Stdin | Call):
            raise ProblemError(f"Problem {self.id!r}: interface must be Stdin() or Call(name), not {self.interface!r}.")
        if not isinstance(self.limits, Limits):
            raise ProblemError(f"Problem {self.id!r}: limits={self.limits!r:.100} is not a Limits, such as Limits().")
        for name in ("checker", "reference"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                raise ProblemError(
                    f"Problem {self.id!r}: {name}={getattr(self, name)!r:.100} is neither a text nor None."
                )
        if not isinstance(self.metadata, Mapping) or not all(isinstance(key, str) for key in self.metadata):
            raise ProblemError(f"Problem {self.id!r}: metadata={self.metadata!r:.100} is not a mapping from texts.")
        for group in GROUPS:
            given = getattr(self, group)
            if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
                raise ProblemError(f"Problem {self.id!r}: {group}={given!r:.100} is not a sequence of TestCases.")
            tests = tuple(given)
            object.__setattr__(self, group, tests)
            for place, test in enumerate(tests):
                self._check_test(group, place, test)
        object.__setattr__(self, "limits", self._roomy(self.limits))

    def _roomy(self, limits: Limits) -> Limits:
        """Return the limits with room for twice the largest expected output, in whole powers of two.

        Under a limit below that no program could be right, or only one that writes exactly as little as the expected
        output does. Rounded up the limit tells little about tests that are not shown.
        """
        size = text_size if isinstance(self.interface, Stdin) else written_size
        needed = 2 * max((size(test.output) for group in GROUPS for test in self.tests(group)), default=0)
        if needed <= limits.output_bytes:
            return limits
        return replace(limits, output_bytes=1 << (needed - 1).bit_length())

    def _check_test(self, group: str, place: int, test: TestCase) -> None:
        where = f"Problem {self.id!r}: {group}[{place}]"
        if not isinstance(test, TestCase):
            raise ProblemError(f"{where} is {type(test).__name__}, not a TestCase(input, output).")
        if isinstance(self.interface, Stdin):
            if not isinstance(test.input, str) or not isinstance(test.output, str):
                raise ProblemError(f"{where}: input and output of a Stdin problem are texts.")
            return
        if not isinstance(test.input, list):
            raise ProblemError(f"{where}: the input of a Call problem is a list of positional arguments.")
        for name, value, exact in (("input", test.input, False), ("output", test.output, True)):
            if reason := why_not_plain(value, exact=exact):
                raise ProblemError(
                    f"{where}: the {name} is no plain data (None, bool, int, float, complex, str, bytes, list, tuple, "
                    f"set, frozenset, dict): {reason}."
                )

    def __repr__(self) -> str:
        """Which problem it is and how many tests it has: never a test, since reprs end up in logs."""
        counts = ", ".join(f"{len(self.tests(group))} {group}" for group in GROUPS)
        return f"Problem({self.id!r}, {self.interface!r}, tests: {counts})"

    def tests(self, group: TestGroup) -> tuple[TestCase, ...]:
        """Return the tests of one group, in listed order.

        Raises:
            ProblemError: there is no such group.
        """
        if group not in GROUPS:
            raise ProblemError(unknown_name("test group", group, GROUPS))
        found: tuple[TestCase, ...] = getattr(self, group)
        return found

    def public_view(self) -> PublicView:
        """Return the part that search, selectors, prompts and policies may see."""
        return PublicView(
            id=self.id,
            statement=self.statement,
            interface=self.interface,
            public=self.public,
            starter_code=self.starter_code,
            limits=self.limits,
            seed_program=self.seed_program,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a program on one input.

    `output` is what the program wrote to file descriptor 1 (a text; undecodable bytes become U+FFFD) for `Stdin`, the
    returned value as plain data for `Call` (an `Opaque` for a value of any other type), None where there is none.
    `error_type`, `error_message` and `traceback` describe a Python exception in the candidate's own line numbers, with
    object addresses and scratch paths masked; in another language what its compiler said, or the end of `stderr`. Times
    are in seconds (`wall_seconds` as its limit counts them), memory in bytes; neither takes part in equality.
    """

    status: Status
    output: Any = None
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    stderr: str = ""
    exit_code: int | None = None
    cpu_seconds: float = field(default=0.0, compare=False)
    wall_seconds: float = field(default=0.0, compare=False)
    memory_bytes: int = field(default=0, compare=False)

    def __post_init__(self) -> None:  # what its status is worth the judge says: a sandbox may know others
        for name in ("status", "error_type", "error_message", "traceback", "stderr"):
            text(name, getattr(self, name), where="Run", error=SandboxError)
        if self.exit_code is not None and not is_whole(self.exit_code):
            raise SandboxError(f"{said('exit_code', self.exit_code, 'Run')}: must be a whole number, or None.")
        for name in ("cpu_seconds", "wall_seconds", "memory_bytes"):
            real_number(name, getattr(self, name), where="Run", error=SandboxError)


@dataclass(frozen=True, slots=True)
class Feedback:
    """Facts about the first failing test, in listed order; all of it may be quoted.

    `unshown` says that every public test passed and only tests that are never quoted failed: then nothing else is set
    but `outcome`, which is `wrong_answer` whatever happened (one bit). Texts are bounded; in call mode `input` is the
    call and values are `repr`s. `limit` is the limit that was hit, as readable text such as "3 s of CPU time".
    """

    outcome: Outcome
    unshown: bool = False
    test: int | None = None
    input: str = ""
    expected: str = ""
    actual: str = ""
    error_type: str = ""
    error_message: str = ""
    traceback: str = ""
    limit: str = ""

    def __post_init__(self) -> None:
        if not _is_outcome(self.outcome):
            raise JudgeError(unknown_name("outcome in Feedback", self.outcome, _OUTCOMES))
        flag("unshown", self.unshown, where="Feedback", error=JudgeError)
        if self.test is not None:
            whole_number("test", self.test, least=0, where="Feedback", error=JudgeError)
        for name in ("input", "expected", "actual", "error_type", "error_message", "traceback", "limit"):
            text(name, getattr(self, name), where="Feedback", error=JudgeError)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the judge found for one program.

    `groups` maps each selected test group to the outcomes of its tests in listed order. `settled` is the outcome of an
    expansion that had no program to run (`no_program`, `illegal`); then `groups` is empty.
    """

    groups: Mapping[str, tuple[Outcome, ...]] = field(default_factory=dict)
    settled: Outcome | None = None
    feedback: Feedback | None = None
    cpu_seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        instance(
            "groups", self.groups, Mapping, "a mapping from test groups to outcomes", where="Verdict", error=JudgeError
        )
        for group, outcomes in self.groups.items():
            if group not in GROUPS:
                raise JudgeError(unknown_name("test group in Verdict", group, GROUPS))
            instance(group, outcomes, tuple | list, "a tuple of outcomes", where="Verdict", error=JudgeError)
            if strange := [one for one in outcomes if not _is_outcome(one)]:
                raise JudgeError(unknown_name(f"outcome of {group} tests in Verdict", strange[0], _OUTCOMES))
        if self.settled is not None and not _is_outcome(self.settled):
            raise JudgeError(unknown_name("settled outcome in Verdict", self.settled, _OUTCOMES))
        instance("feedback", self.feedback, Feedback | None, "a Feedback, or None", where="Verdict", error=JudgeError)
        real_number("cpu_seconds", self.cpu_seconds, where="Verdict", error=JudgeError)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes of all selected tests: public, scoring, hidden, each in listed order."""
        return tuple(o for group in GROUPS for o in self.groups.get(group, ()))

    @property
    def passed(self) -> bool:
        """Whether every selected test passed."""
        outcomes = self.outcomes
        return bool(outcomes) and all(o == "passed" for o in outcomes)

    @property
    def outcome(self) -> Outcome:
        """The outcome in one word: `passed`, else that of the first failing test in listed order."""
        if self.settled is not None:
            return self.settled
        for group in GROUPS:
            for outcome in self.groups.get(group, ()):
                if outcome not in ("passed", "not_run"):
                    return outcome
        return "passed" if self.passed else "not_run"

    @property
    def fraction(self) -> float | None:
        """The share of selected tests that passed; None where judging stopped early."""
        if self.settled is not None:
            return 0.0
        outcomes = self.outcomes
        if not outcomes or "not_run" in outcomes:
            return None
        return sum(o == "passed" for o in outcomes) / len(outcomes)

    def group(self, name: TestGroup) -> Verdict:
        """Return the verdict on one of the selected groups alone.

        Raises:
            JudgeError: the group was not selected.
        """
        if self.settled is not None:
            return Verdict(settled=self.settled)
        if name not in GROUPS or name not in self.groups:
            raise JudgeError(f"group({name!r:.100}): this verdict is on {', '.join(self.groups) or 'no group'} alone.")
        return Verdict(groups={name: self.groups[name]})

    @property
    def public(self) -> Verdict:
        """As much of the verdict as may be quoted: the outcomes of public tests, and feedback that is about one."""
        feedback = None if self.feedback is None or self.feedback.unshown else self.feedback
        groups = {"public": self.groups["public"]} if "public" in self.groups else {}
        return Verdict(groups=groups, settled=self.settled, feedback=feedback)


class Message(TypedDict):
    """One chat message, in the form that chat templates and servers take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One request to one agent to expand the tree by one node; plain data that can be pickled and sent.

    `id` is the ask number within the episode (from 0). Where a selector picked the place, `parent` is the node to
    expand (0 = the root: write afresh) and `messages` the prompt for it. Where the agent picks (`parent` is None), the
    reply names one of `parents`, and `at(parent)` is the same turn with the place filled in: its prompt, the parent's
    program and the seed of that choice. `seed` is keyed by (seed, problem, agent, path to the parent, which child), so
    that the same choice meets the same luck in two algorithms.

    `path` and `child` are that place itself, whatever the seed: `path` is a digest of the problem and the way to the
    parent (for each step who wrote it, and which of its author's children it is), `child` says how many children the
    agent wrote there before. So a reply can be kept and found again. Both are None where the agent is still to choose.

    `tree_seed` is one and the same in all turns of a tree, a function of (seed, problem) alone, in [0, 2**63): what a
    policy draws from it holds for the whole tree.
    """

    id: int
    agent: str
    problem: PublicView
    seed: int
    messages: tuple[Message, ...]
    parent: int | None
    parents: tuple[int, ...]
    program: str | None = None
    feedback: Feedback | None = None
    places: Places | None = field(default=None, repr=False, compare=False)
    path: int | None = None
    child: int | None = None
    tree_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("id", "seed", "tree_seed"):
            whole_number(name, getattr(self, name), least=0, where="Turn", error=EpisodeError)
        for name, kind, wanted in (
            ("agent", str, "the name of an agent"),
            ("problem", PublicView, "a problem's public_view()"),
            ("messages", tuple, "a tuple of messages"),
            ("parents", tuple, "a tuple of node numbers"),
            ("program", str | None, "a program, or None"),
            ("feedback", Feedback | None, "a Feedback, or None"),
        ):
            instance(name, getattr(self, name), kind, wanted, where="Turn", error=EpisodeError)
        if self.parent is not None:
            whole_number("parent", self.parent, least=0, where="Turn", error=EpisodeError)

    def at(self, parent: int) -> Turn:
        """Return this turn with `parent` chosen; only for turns that leave the choice to the agent."""
        if self.places is None:
            if parent != self.parent:
                raise EpisodeError(f"turn {self.id} expands node {self.parent}; node {parent!r:.100} is not on offer.")
            return self
        if parent not in self.parents:
            raise EpisodeError(
                f"turn {self.id}: node {parent!r:.100} is not on offer; nodes 0 to {len(self.parents) - 1} are."
            )
        return self.places(self, parent)

    def __getstate__(self) -> tuple[Any, ...]:
        """Pack the prompt: it quotes much that is alike, and a turn may go to a server or another machine."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return tuple((values | {"messages": zlib.compress(json.dumps(self.messages).encode())}).values())

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Unpack the prompt."""
        for one, value in zip(fields(self), state, strict=True):
            kept = tuple(json.loads(zlib.decompress(value))) if one.name == "messages" else value
            object.__setattr__(self, one.name, kept)


class Places(Protocol):
    """Fills in the place of a turn that leaves the choice to the agent."""

    def __call__(self, turn: Turn, parent: int) -> Turn:
        """Return `turn` at `parent`."""
        ...


LogprobsKind: TypeAlias = Literal["sampled", "tempered", "raw"]
"""Of which distribution log-probabilities are: the one sampled from (temperature, then top-k and top-p, renormalised),
the whole vocabulary after the temperature, or the model's own, at temperature 1."""

LOGPROBS_KINDS: Final[tuple[LogprobsKind, ...]] = ("sampled", "tempered", "raw")


@dataclass(frozen=True, slots=True)
class Generation:
    """The tokens behind a reply, or behind one step of it. What the back end cannot tell is None, or left empty.

    Attributes:
        prompt_ids: the token ids that the model was asked with.
        completion_ids: the token ids that it wrote, the ending one included.
        logprobs: the natural log of the probability of each completion token, as `logprobs_kind` says.
        finish_reason: "stop", or "length" where the reply was cut by its limit.
        weights_version: the version of the weights at the first completion token.
        prompt_tokens: how many tokens the prompt had, of a server that tells no ids; where there are ids, they count.
        completion_tokens: how many were written, likewise.
        text: what was written, special tokens left out; "" in the short form, where it is the reply's text.
        logprobs_kind: of which distribution `logprobs` are; None where that is not known.
        temperature: that of sampling, 0 for greedy; None where that is not known.
        top_p: the probability that was kept; None where that is not known.
        top_k: how many tokens were kept; 0 for all of them, None where that is not known.
        kept_mass: the probability, after the temperature, of all tokens that top-p and top-k kept, at each completion
            token: with it log-probabilities of kind "sampled" become "tempered" ones.
        weights_spans: (version, index of the first completion token that it wrote), in order, where the weights changed
            while the completion was written; () where they did not.
        prompt_cut: how many tokens of the prompt were left out to fit the model's context.
        thinking_tokens: how many completion tokens were thought, of a model that thinks first; None of others.
    """

    prompt_ids: tuple[int, ...] = ()
    completion_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    finish_reason: str = "stop"
    weights_version: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    text: str = ""
    logprobs_kind: LogprobsKind | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    kept_mass: tuple[float, ...] = ()
    weights_spans: tuple[tuple[int, int], ...] = ()
    prompt_cut: int = 0
    thinking_tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("prompt_ids", "completion_ids"):
            object.__setattr__(self, name, _token_ids(name, getattr(self, name)))
        for name in ("logprobs", "kept_mass"):
            if isinstance(given := getattr(self, name), tuple) and not given:
                continue
            try:  # numbers of any library, so that a log can hold them; a sampler may say nan
                object.__setattr__(self, name, tuple(map(float, given)))
            except (TypeError, ValueError):
                raise PolicyError(f"{said(name, given, 'Generation')}: give one number a token.") from None
            if len(getattr(self, name)) not in (0, len(self.completion_ids)):
                raise PolicyError(
                    f"Generation: {len(getattr(self, name))} {name} for {len(self.completion_ids)} completion_ids; "
                    "one each."
                )
        if not is_whole(self.weights_version):
            raise PolicyError(f"{said('weights_version', self.weights_version, 'Generation')}: give a whole number.")
        object.__setattr__(self, "weights_version", index(self.weights_version))
        for name in ("prompt_tokens", "completion_tokens", "top_k", "prompt_cut", "thinking_tokens"):
            if ((count := getattr(self, name)) is not None and type(count) is not int) or (count or 0) < 0:
                if not is_whole(count) or index(count) < 0:
                    raise PolicyError(f"{said(name, count, 'Generation')}: give a whole number of at least 0, or None.")
                object.__setattr__(self, name, index(count))
        if self.logprobs_kind is not None and self.logprobs_kind not in LOGPROBS_KINDS:
            raise PolicyError(
                f"{said('logprobs_kind', self.logprobs_kind, 'Generation')}: "
                f"give one of {', '.join(LOGPROBS_KINDS)}, or None."
            )
        for name in ("temperature", "top_p"):
            if getattr(self, name) is not None:
                object.__setattr__(
                    self, name, real_number(name, getattr(self, name), least=0, where="Generation", error=PolicyError)
                )
        for name in ("finish_reason", "text"):
            if not isinstance(getattr(self, name), str):
                raise PolicyError(f"{said(name, getattr(self, name), 'Generation')}: give a text.")
        if self.weights_spans:
            object.__setattr__(self, "weights_spans", _spans(self.weights_spans))

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Take what was pickled, by an earlier version too: it knew fewer fields."""
        for one, value in zip_longest(fields(self), state, fillvalue=MISSING):
            if isinstance(one, Field):
                object.__setattr__(self, one.name, one.default if value is MISSING else value)

    @property
    def tokens(self) -> tuple[int, int] | None:
        """How many tokens the prompt and the completion have; None where nothing tells those of the completion."""
        if not self.prompt_ids and not self.completion_ids and self.completion_tokens is None:
            return None
        prompt = len(self.prompt_ids) if self.prompt_ids else self.prompt_tokens or 0
        return prompt, len(self.completion_ids) if self.completion_ids else self.completion_tokens or 0

    @property
    def overlong(self) -> bool:
        """Whether the completion was cut by its limit."""
        return self.finish_reason == "length"


def _spans(given: Any) -> tuple[tuple[int, int], ...]:
    """Return spans of weights versions as pairs of ints.

    Raises:
        PolicyError: they are not pairs of whole numbers, or do not begin at 0 and grow.
    """
    try:
        spans = tuple((index(version), index(first)) for version, first in given)
        firsts = [first for _, first in spans]
        if firsts[0] == 0 and all(a < b for a, b in pairwise(firsts)):
            return spans
    except (TypeError, ValueError):
        pass
    raise PolicyError(
        f"{said('weights_spans', given, 'Generation')}: give (version, first token) pairs, of which the first begins "
        "at 0 and each later."
    )


def _token_ids(name: str, given: Any) -> tuple[int, ...]:
    """Return token ids as ints, whatever library's numbers they were."""
    try:
        ids = tuple(map(index, given))
        if all(0 <= one < 2**63 for one in ids):
            return ids
    except TypeError:
        pass
    raise PolicyError(f"{said(name, given, 'Generation')}: give a sequence of token ids, whole numbers of at least 0.")


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to a reply: what a model wrote in a role, or what a tool was asked and answered.

    Attributes:
        role: who wrote it, such as "planner" or "coder"; the tool's name, such as "public_tests".
        generation: what the model wrote; None for a tool.
        call: what a tool was asked, such as the program to be run.
        observation: what a tool answered, as the model was told it; None for a model. A learner masks it.
        seconds: how long the tool took by the clock, for who looks; budgets count what `Trial` measures.
    """

    role: str
    generation: Generation | None = None
    call: str = ""
    observation: str | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.role, str) or not self.role:
            raise PolicyError(f"{said('role', self.role, 'Step')}: name the role or the tool.")
        if (self.generation is None) == (self.observation is None):
            raise PolicyError(
                f"Step({self.role!r}): give either generation=..., what a model wrote, or observation=..., what a tool "
                "answered."
            )
        if self.generation is not None and not isinstance(self.generation, Generation):
            raise PolicyError(f"Step({self.role!r}): {type(self.generation).__name__} is not a Generation.")
        for name in ("call", "observation"):
            if not isinstance(getattr(self, name), str | None):
                raise PolicyError(f"{said(name, getattr(self, name), 'Step')}: give a text.")
        object.__setattr__(
            self, "seconds", real_number("seconds", self.seconds, least=0, where="Step", error=PolicyError)
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent returned: a text that holds a program, and the parent where the agent chooses it.

    A reply that took several calls of models and tools tells them in order as `steps`; `generation` is the short form
    of one call. Budgets count all of them, and they stand in the trace beside the log.
    `cost` is what the reply cost in all, in whatever unit a budget's `cost` is in; None where that is not known.
    """

    text: str
    parent: int | None = None
    generation: Generation | None = field(default=None, compare=False)
    cost: float | None = field(default=None, compare=False)
    steps: tuple[Step, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise PolicyError(f"Reply(text=...): the text is {type(self.text).__name__}, not a str.")
        if self.parent is not None:
            if not is_whole(self.parent):
                raise PolicyError(f"{said('parent', self.parent, 'Reply')}: the parent is a node number or None.")
            object.__setattr__(self, "parent", index(self.parent))
        if self.cost is not None:
            object.__setattr__(self, "cost", real_number("cost", self.cost, least=0, where="Reply", error=PolicyError))
        if self.generation is not None and not isinstance(self.generation, Generation):
            raise PolicyError(f"Reply(generation=...): {type(self.generation).__name__} is not a Generation.")
        if self.steps != ():
            self._check_steps()

    def _check_steps(self) -> None:
        if isinstance(self.steps, str) or not isinstance(self.steps, Sequence):
            raise PolicyError(f"{said('steps', self.steps, 'Reply')}: give a sequence of Steps.")
        for step in self.steps:
            if not isinstance(step, Step):
                raise PolicyError(f"{said('steps', self.steps, 'Reply')}: {step!r:.100} is not a Step.")
        if self.generation is not None:
            raise PolicyError("Reply: give steps or, of a single call, generation: with both, tokens count twice.")
        object.__setattr__(self, "steps", tuple(self.steps))

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Take what was pickled, by an earlier version too: it knew no steps."""
        for one, value in zip_longest(fields(self), state, fillvalue=()):
            if isinstance(one, Field):
                object.__setattr__(self, one.name, value)

    @property
    def generations(self) -> tuple[Generation, ...]:
        """What models wrote, in order: that of each step, or the one of the short form."""
        if self.generation is not None:
            return (self.generation,)
        return tuple(step.generation for step in self.steps if step.generation is not None)

    @property
    def tokens(self) -> tuple[int, int] | None:
        """How many tokens the prompts and the completions have in all; None where one of them does not tell."""
        counts = [one.tokens for one in self.generations]
        if not counts or None in counts:
            return None
        return sum(one[0] for one in counts if one), sum(one[1] for one in counts if one)


@runtime_checkable
class Policy(Protocol):
    """What acts. Several agents may share one policy; a batch of turns comes in, one reply each goes out in order."""

    def act(self, turns: list[Turn]) -> list[Reply]:
        """Return one reply for each turn, in order."""
        ...


@runtime_checkable
class Generates(Protocol):
    """An optional ability of policies: answers turns one at a time, many at once, on an event loop.

    The rollout engine asks a policy that has it this way; elsewhere `act` is called. What is not waited for any more is
    cancelled, and should then stop using the model.
    """

    async def generate(self, turn: Turn, *, priority: int) -> Reply:
        """Return the reply to a turn.

        Args:
            turn: the turn.
            priority: the smaller, the sooner it should be answered: others wait for it.
        """
        ...


@runtime_checkable
class Limited(Protocol):
    """An optional ability of policies that `Generates`: how many turns it wants to be answering at a time, at most."""

    @property
    def concurrency(self) -> int:
        """At least 1."""
        ...


Given: TypeAlias = Literal["token_ids", "logprobs", "token_counts", "cost"]
"""What a reply may tell besides its text."""


@runtime_checkable
class Gives(Protocol):
    """An optional ability of policies: tells at the start what its generations will tell.

    A run that needs what is not among it (a budget of tokens, training) is refused before the first turn.
    """

    @property
    def gives(self) -> Collection[Given]:
        """Of "token_ids", "logprobs", "token_counts" and "cost" those that its replies will have."""
        ...


@runtime_checkable
class Closes(Protocol):
    """An optional ability of policies: has something to be let go of, such as connections or a server it started."""

    def close(self) -> None:
        """Let go of it; more than once does no harm."""
        ...


class Trial(Protocol):
    """Runs programs on the PUBLIC tests of a turn's problem: a tool for policies, whose time counts as judge time.

    A policy whose `act` (or `generate`) has a keyword argument `trial` is given one.
    """

    def run(self, turn: Turn, program: str) -> Verdict:
        """Return the verdict on the public tests, every one of them run; the feedback is on the first that fails.

        Raises:
            SandboxError: the sandbox could not decide.
        """
        ...

    async def arun(self, turn: Turn, program: str) -> Verdict:
        """`run`, awaited."""
        ...


@runtime_checkable
class ActsTogether(Protocol):
    """An optional ability of policies: those with an equal `batch_key` (one model, say) answer in one call."""

    @property
    def batch_key(self) -> Hashable:
        """What policies that answer together have in common."""
        ...

    def act_together(self, turns: Sequence[tuple[Policy, Turn]]) -> list[Reply]:
        """Return one reply for each turn, in order; each comes with the policy that it is for."""
        ...


@runtime_checkable
class Identified(Protocol):
    """An optional ability of policies: says by name and configuration what it is.

    A run folder holds whoever goes on with its run to that, so what decides replies (a model, its settings) belongs in
    it, and what changes from run to run does not.
    """

    @property
    def identity(self) -> str:
        """Name and configuration as a short stable text, such as `openai:gpt-x,temperature=0.8`."""
        ...


@runtime_checkable
class Prepares(Protocol):
    """An optional ability of policies: is told who it acts for before the first turn, and refuses what it cannot do."""

    def prepare(self, agents: Sequence[str], problems: Sequence[str]) -> None:
        """Check that these can be played.

        Args:
            agents: the agents that it acts for.
            problems: the ids of the problems that they play.

        Raises:
            PolicyError: they cannot.
        """
        ...


@runtime_checkable
class ShowsCard(Protocol):
    """An optional ability of policies that write the programs of `place`: tells its own agent alone some numbers.

    With the task option `cards` they are in that agent's observation, and in nothing that others or `state()` see.
    """

    @property
    def card_size(self) -> int:
        """How many numbers there are, at least 1; all generators of a task have as many."""
        ...

    def card(self, tree_seed: int, problem: PublicView, agent: str) -> Sequence[float]:
        """Return the numbers, each in [0, 1], for one tree; the same arguments always give the same ones.

        Args:
            tree_seed: `Turn.tree_seed` of the tree's turns.
            problem: what may be seen of its problem.
            agent: whom it writes for.
        """
        ...


@runtime_checkable
class Clues(Protocol):
    """Tells every observer of a numeric game something about the problem in numbers (task option `clues`)."""

    @property
    def size(self) -> int:
        """How many numbers there are, at least 1."""
        ...

    def __call__(self, problem: PublicView) -> Sequence[float]:
        """Return the numbers, each in [0, 1]; the same problem always gives the same ones."""
        ...


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Node:
    """One node of a finished or growing tree.

    `duplicate_of` is the earlier node with an equal program (after normalisation), if any. Node 0, the root, has no
    entry, but in a repair problem: there it is the seed node, which holds the program to be repaired. Nobody wrote that
    (`agent` is "", `parent` -1): it costs no budget, earns no credit and is never the answer.

    `score` is what the tests gave; `model_score` what a reward model gave besides, if there is one.
    """

    id: int
    parent: int
    depth: int
    agent: str
    reply: str
    program: str | None
    verdict: Verdict
    score: float
    duplicate_of: int | None = None
    generation: Generation | None = field(default=None, compare=False)
    model_score: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("id", 0), ("parent", -1), ("depth", 0)):
            whole_number(name, getattr(self, name), least=least, where="Node", error=EpisodeError)
        for name, kind, wanted in (
            ("agent", str, "the name of an agent"),
            ("reply", str, "a text"),
            ("program", str | None, "a program, or None"),
            ("verdict", Verdict, "a Verdict"),
            ("generation", Generation | None, "a Generation, or None"),
        ):
            instance(name, getattr(self, name), kind, wanted, where="Node", error=EpisodeError)
        real_number("score", self.score, where="Node", error=EpisodeError)
        if self.duplicate_of is not None:
            whole_number("duplicate_of", self.duplicate_of, least=0, where="Node", error=EpisodeError)
        if self.model_score is not None:
            real_number("model_score", self.model_score, where="Node", error=EpisodeError)

    def __repr__(self) -> str:
        """The node in a line, without its texts."""
        copy = "" if self.duplicate_of is None else f", duplicate_of={self.duplicate_of}"
        return (
            f"Node({self.id}, parent={self.parent}, agent={self.agent!r}, {self.verdict.outcome}, "
            f"score={self.score:g}{copy})"
        )


@runtime_checkable
class RewardModel(Protocol):
    """Says how good programs look, without running them; a model may have learned from training problems only."""

    def score(self, problem: PublicView, programs: Sequence[str]) -> Sequence[float]:
        """Return one score in [0, 1] for each program, in order."""
        ...


@runtime_checkable
class RatesTested(Protocol):
    """An optional ability of reward models: takes into account what public tests found; it is then asked this way."""

    def score_tested(
        self, problem: PublicView, programs: Sequence[str], verdicts: Sequence[Verdict]
    ) -> Sequence[float]:
        """Return one score in [0, 1] for each program, in order.

        Args:
            problem: what may be seen of the problem.
            programs: different programs, of one tree.
            verdicts: of each program, `Verdict.public`.
        """
        ...


@runtime_checkable
class ChecksProblems(Protocol):
    """An optional ability of reward models: is told what it will rate before the first program of it."""

    def check_problems(self, problems: Sequence[PublicView]) -> None:
        """Check that these may be rated.

        Raises:
            ConfigError: the model learned from one of them.
        """
        ...


Team: TypeAlias = Mapping[str, Policy]
"""Agent name -> the policy that acts for it."""

Tests: TypeAlias = TestGroup | Literal["all"] | Sequence[TestGroup]
"""A selection of test groups."""
