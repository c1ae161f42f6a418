"""What the judge relies on in a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mars2_env import Call, Limits, Run, Sandbox, SandboxError

QUICK = Limits(cpu_seconds=1, wall_seconds=8, memory_bytes=256 * 2**20, output_bytes=100_000)


class SandboxContract:
    """The contract of a `Sandbox`; inherit it and write `make_sandbox`.

    Attributes:
        runs_programs: set it to False for a stand-in that runs nothing, such as a scripted one: then only what does
            not depend on programs is tested.
    """

    runs_programs = True

    def make_sandbox(self) -> Sandbox:
        """Return a new sandbox; each test closes its own."""
        raise NotImplementedError("write make_sandbox(self), which returns a new sandbox.")

    def test_it_has_the_methods_of_a_sandbox_and_an_identity(self) -> None:
        """It keeps the protocol; two of one kind have the same identity, a text for log headers."""
        with self.make_sandbox() as sandbox, self.make_sandbox() as other:
            assert isinstance(sandbox, Sandbox), f"{sandbox!r} lacks a method of Sandbox."
            assert isinstance(sandbox.identity, str) and sandbox.identity, "identity must be a text that is not empty."
            assert sandbox.identity == other.identity, "two sandboxes made alike have different identities."

    def test_inputs_get_one_run_each_in_order(self) -> None:
        """`run`, `stream` and their async twins agree, and no inputs get no runs."""

        async def streamed() -> list[Run]:
            return [run async for run in sandbox.astream(program, inputs)]

        program, inputs = "print(input())", ["a\n", "b\n", "c\n", "a\n"]
        with self.make_sandbox() as sandbox:
            runs = sandbox.run(program, inputs)
            assert [type(run) for run in runs] == [Run] * 4, f"run returned {runs!r:.200} for four inputs."
            assert runs[0] == runs[3] and runs[0] != runs[1], "runs do not follow the order of the inputs."
            assert list(sandbox.stream(program, inputs)) == runs, "stream yields other runs than run returns."
            assert asyncio.run(sandbox.arun(program, inputs)) == runs, "arun returns other runs than run."
            assert asyncio.run(streamed()) == runs, "astream yields other runs than run returns."
            assert sandbox.run(program, []) == [], "no inputs must get no runs."

    def test_a_stream_may_be_left_early(self) -> None:
        """What is left of a stream is not needed, and the sandbox goes on with the next program."""
        with self.make_sandbox() as sandbox:
            stream = sandbox.stream("print(input())", ["a\n", "b\n"])
            first = next(stream)
            stream.close()  # type: ignore[attr-defined]
            assert sandbox.run("print(input())", ["a\n"]) == [first], (
                "after a stream was left, runs came out otherwise."
            )

    def test_several_threads_may_use_it_at_once(self) -> None:
        """Each thread gets the runs of its own program."""
        with self.make_sandbox() as sandbox, ThreadPoolExecutor(6) as pool:
            programs = [f"print({number})" for number in range(6)]
            alone = [sandbox.run(program, ["", ""]) for program in programs]
            together = list(pool.map(lambda program: sandbox.run(program, ["", ""]), programs))
            assert together == alone, "runs of several threads came out otherwise than one by one."

    def test_a_closed_one_refuses_and_may_be_closed_again(self) -> None:
        """`close` is idempotent; a run after it is a `SandboxError`, never a verdict."""
        sandbox = self.make_sandbox()
        sandbox.run("print(1)", [""])
        sandbox.close()
        sandbox.close()
        try:
            runs = sandbox.run("print(1)", [""])
        except SandboxError:
            return
        raise AssertionError(f"a closed sandbox must raise SandboxError; it returned {runs!r:.200}.")

    def _ends(self, program: str, status: str, check: Callable[[Run], bool] = lambda run: True) -> None:
        if not self.runs_programs:
            return
        with self.make_sandbox() as sandbox:
            bad, good = (
                sandbox.run(program, ["7\n"], limits=QUICK),
                sandbox.run("print(input())", ["7\n"], limits=QUICK),
            )
            assert [run.status for run in bad] == [status], f"{program!r} must end in {status!r}, not {bad!r:.400}."
            assert check(bad[0]), f"{program!r} ended in {status!r} as it must, but with {bad[0]!r:.400}."
            assert good[0].output == "7\n", f"after {program!r} the next program came out as {good[0]!r:.300}."

    def test_output_is_what_was_printed(self) -> None:
        """Standard input goes in, standard output comes out, undecodable bytes replaced."""
        self._ends("print(int(input()) * 6)", "ok", lambda run: run.output == "42\n")
        self._ends("import os; os.write(1, b'\\xff')", "ok", lambda run: run.output == "\ufffd")

    def test_calls_return_plain_data_type_by_type(self) -> None:
        """What a function returns comes back as the types that it returned."""
        if not self.runs_programs:
            return
        with self.make_sandbox() as sandbox:
            values = [None, True, 2**80, 0.5, "a\n", b"b", [1, (2, {3})], {"k": 1j}]
            runs = sandbox.run("def same(x):\n    return x", [[value] for value in values], interface=Call("same"))
            assert repr([run.output for run in runs]) == repr(values), f"came back as {[run.output for run in runs]!r}."

    def test_an_exception_is_a_runtime_error_that_says_which(self) -> None:
        """Type and message of the exception are told."""
        self._ends(
            "raise KeyError('lost')",
            "runtime_error",
            lambda run: run.error_type == "KeyError" and "lost" in run.error_message,
        )

    def test_what_does_not_compile_is_a_compile_error(self) -> None:
        """A syntax error is no runtime error."""
        self._ends("def f(:\n    pass", "compile_error")

    def test_limits_hold(self) -> None:
        """CPU time, memory and output are bounded, and the next program does not suffer."""
        self._ends("while True:\n    pass", "time_limit")
        self._ends("x = bytearray(2**31)", "memory_limit")
        self._ends("print('x' * 2**20)", "output_limit")

    def test_nothing_is_left_for_the_next_run(self) -> None:
        """Neither modules nor files of one run are seen by the next."""
        if not self.runs_programs:
            return
        leave = "import builtins, pathlib\nbuiltins.left = 1\npathlib.Path('left').write_text('x')"
        look = "import builtins, pathlib\nprint(hasattr(builtins, 'left'), pathlib.Path('left').exists())"
        with self.make_sandbox() as sandbox:
            sandbox.run(leave, ["", ""])
            seen = [run.output for run in sandbox.run(look, ["", ""])]
            assert seen == ["False False\n"] * 2, f"a run saw what an earlier one left: {seen}"
