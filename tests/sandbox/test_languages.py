"""Languages other than Python: compiled once, run per test, and as confined as any program, the compiler included."""

from __future__ import annotations

import asyncio
import pickle
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mars2_env
from mars2_env import Call, ConfigError, Judge, Limits, Problem, Run, SandboxError, TestCase
from mars2_env.errors import SandboxUnavailableError
from mars2_env.problems import ProblemSet
from mars2_env.prompt import Prompts
from mars2_env.sandbox import CPP, PYTHON, Language, LanguageSandbox, Sandbox, make_sandbox
from mars2_env.sandbox.packages import closure, package_files
from mars2_env.templates import ChatTemplates
from mars2_env.testing import ScriptedPolicy
from mars2_env.types import Turn

SHELL = Language(
    "shell",
    "program.sh",
    known_good="read a b\necho $((a + b))\n",
    check=("/bin/sh", "-n", "program.sh"),
    run=("/bin/sh",),
)
ADD = '#include <cstdio>\nint main() { long a, b; scanf("%ld %ld", &a, &b); printf("%ld\\n", a + b); }\n'
ADDING = Problem("test/add", "Add.", public=(TestCase("1 2\n", "3\n"), TestCase("20 22\n", "42\n")))
QUICK = Limits(cpu_seconds=0.5)
SMALL = Limits(cpu_seconds=2, wall_seconds=20, memory_bytes=256 * 2**20, output_bytes=2**20)


class Recorder:
    """Passes on to a sandbox and counts what it is asked to run."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.programs: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sandbox, name)

    def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        self.programs.append(program)
        return self.sandbox.run(program, inputs, **options)

    async def arun(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
        self.programs.append(program)
        return await self.sandbox.arun(program, inputs, **options)

    @property
    def checks(self) -> int:
        return sum("subprocess.call" in program for program in self.programs)


@pytest.fixture(scope="module")
def compiler() -> None:
    if shutil.which("g++") is None or shutil.which("dpkg-query") is None:
        pytest.skip("needs g++ from Debian's packages (Debian and Ubuntu: apt-get install g++)")


@pytest.fixture(scope="module", params=["docker", "bubblewrap"])
def cpp(request: pytest.FixtureRequest, compiler: None) -> Iterator[LanguageSandbox]:
    request.getfixturevalue({"docker": "docker_engine", "bubblewrap": "bubblewrap"}[request.param])
    with make_sandbox(request.param, workers=1, language="cpp") as sandbox:
        assert isinstance(sandbox, LanguageSandbox)
        yield sandbox


@pytest.mark.parametrize(
    ("program", "outcome", "said"),
    [
        (ADD, "passed", ""),
        (ADD.replace("a + b", "a - b"), "wrong_answer", ""),
        ("int main() { return missing; }", "compile_error", "program.cpp:1:21: error: 'missing' was not declared"),
        ("int other(); int main() { return other(); }", "compile_error", "undefined reference to `other()'"),
        ("#include <vector>\nint main() { std::vector<int>().at(3); }", "runtime_error", "std::out_of_range"),
        ("int main() { volatile int* p = nullptr; *p = 1; }", "runtime_error", "SIGSEGV"),
        ("int main() { return 3; }", "runtime_error", "exit code 3"),
        ("int main() { volatile int i = 0; for (;;) i = i + 1; }", "time_limit", "0.5 s of CPU time"),
        ("#include <vector>\nint main() { std::vector<char> v(1L << 32); }", "memory_limit", "512 MB"),
        ('#include <cstdio>\nint main() { for (;;) puts("0123456789"); }', "output_limit", "1 MB"),
    ],
)
def test_the_judge_grades_cpp_as_it_grades_python(cpp: LanguageSandbox, program: str, outcome: str, said: str) -> None:
    verdict = Judge(cpp).grade(replace(ADDING, limits=QUICK), program)
    assert verdict.outcome == outcome
    if outcome != "passed":
        assert verdict.feedback is not None
        found = verdict.feedback
        assert said in f"{found.traceback}\n{found.error_type}: {found.error_message}\n{found.limit}"
        assert "/box/" not in found.traceback


def test_a_run_of_a_program_leaves_nothing_that_changes_its_next(cpp: LanguageSandbox) -> None:
    program = """
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
int main() {
    int n; scanf("%d", &n);
    const char* names[] = {"seen", "/tmp/seen", "/box/seen", "program"};
    for (const char* name : names) if (access(name, F_OK) == 0) n += 100;
    if (open("/proc/self/exe", O_WRONLY) >= 0) n += 1000;
    for (const char* name : names) {
        int file = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0777);
        if (file >= 0) write(file, "#!/bin/true", 11);
    }
    printf("%d\\n", n);
}
"""
    runs = cpp.run(program, ["1", "2", "3"])
    assert [run.status for run in runs] == ["ok"] * 3
    first = int(runs[0].output) - 1
    assert first in (0, 100), "without memory files the program itself lies in its folder"
    assert [int(run.output) for run in runs] == [first + n for n in (1, 2, 3)]


def host_secret() -> str:
    """A line of this host's user list that no sandbox has."""
    return Path("/etc/passwd").read_text().splitlines()[1]


@pytest.mark.parametrize("cpp", ["docker", pytest.param("bubblewrap", marks=pytest.mark.slow)], indirect=True)
@pytest.mark.parametrize(
    "program",
    [
        pytest.param('#include "/dev/zero"\nint main() {}', id="endless file"),
        pytest.param('#include "/dev/stdin"\nint main() { missing; }', id="standard input"),
        pytest.param('#include "/etc/passwd"\nint main() {}', id="a list of users"),
        pytest.param('#include "/proc/1/environ"\nint main() {}', id="environment of process 1"),
        pytest.param('asm(".incbin \\"/etc/shadow\\"");\nint main() {}', id="assembler includes a file"),
        pytest.param("#include __FILE__\n#include __FILE__\n", id="includes itself"),
        pytest.param("template<int N> struct T : T<N - 1>, T<N - 2> {};\nT<800> t;\nint main() {}", id="deep template"),
        pytest.param(
            "template<int N, class... A> struct T { T<N - 1, A..., A...> t; };\nT<60, int, char> t;\nint main() {}",
            id="template bomb",
        ),
        pytest.param(
            "constexpr int f(int n) { for (;;) n++; return n; }\nconstexpr int x = f(0);", id="endless constant"
        ),
        pytest.param("int a[100000000] = {1};\nint main() {}", id="huge binary"),
        pytest.param(
            "#define A B B B B\n" * 1
            + "\n".join(f"#define {chr(66 + i)} {' '.join([chr(67 + i)] * 10)}" for i in range(12))
            + "\nint main() { A }",
            id="macro bomb",
        ),
        pytest.param("int main() { " + "missing(); " * 20000 + "}", id="many errors"),
        pytest.param("\0\udcff" * 1000, id="not a text"),
    ],
)
def test_a_hostile_source_is_a_compile_error_and_shows_nothing_of_others(cpp: LanguageSandbox, program: str) -> None:
    impatient = LanguageSandbox(cpp._sandbox, replace(CPP, check_limits=SMALL))
    impatient._here = cpp._here  # its compiler was tried
    cpp.run("// the secret of another program: 1f6e0b\n" + ADD, ["1 2"])
    run = impatient.run("// hostile\n" + program, ["1 2"])[0]
    assert run.status == "compile_error"
    assert run.error_message
    assert run.output is None
    shown = run.traceback + run.error_message + run.stderr
    assert "1f6e0b" not in shown
    assert host_secret() not in shown
    assert len(run.traceback) < 20_000
    assert Judge(cpp).grade(ADDING, ADD).passed


def test_without_a_control_group_programs_are_compiled_and_run_in_the_scratch_folder(
    compiler: None, bubblewrap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mars2_env.sandbox.bubblewrap.own_groups", lambda: (1, {}))
    with make_sandbox("bubblewrap", workers=1, language="cpp") as sandbox:
        assert "memfd_create" in sandbox.describe()["system calls"]  # type: ignore[attr-defined]
        assert Judge(sandbox).grade(ADDING, ADD).passed


def test_a_program_is_compiled_once_from_threads_and_tasks(docker_sandbox: Sandbox) -> None:
    recorder = Recorder(docker_sandbox)
    shell: Sandbox = LanguageSandbox(recorder, SHELL)  # type: ignore[arg-type]
    program = "read a b\necho $((a + b))\n# another\n"
    with ThreadPoolExecutor(4) as threads:
        verdicts = list(threads.map(lambda _: Judge(shell).grade(ADDING, program), range(4)))

    async def side_by_side() -> list[Any]:
        return list(await asyncio.gather(*(Judge(shell).agrade(ADDING, program + "#") for _ in range(4))))

    verdicts += asyncio.run(side_by_side())
    assert all(verdict.passed for verdict in verdicts)
    assert recorder.checks == 3  # the known-good program's and one for each


def test_a_fault_while_a_program_is_checked_is_no_verdict_and_is_not_kept(docker_sandbox: Sandbox) -> None:
    class Faulty(Recorder):
        def run(self, program: str, inputs: Sequence[Any], **options: Any) -> list[Run]:
            if "subprocess.call" in program and inputs != [SHELL.known_good] and not self.programs.count("fault"):
                self.programs.append("fault")
                raise SandboxError("it broke")
            return super().run(program, inputs, **options)

    shell = LanguageSandbox(Faulty(docker_sandbox), SHELL)  # type: ignore[arg-type]
    with pytest.raises(SandboxError, match="it broke"):
        shell.run("read a; echo $a", ["x"])
    assert shell.run("read a; echo $a", ["x"])[0].output == "x\n"


def test_a_new_language_is_a_value(docker_sandbox: Sandbox) -> None:
    shell = LanguageSandbox(docker_sandbox, SHELL)
    assert isinstance(shell, Sandbox)
    assert shell.identity.startswith(docker_sandbox.identity + ":language=shell:")
    assert Judge(shell).grade(ADDING, "read a b; echo $((a + b))").passed
    assert Judge(shell).grade(ADDING, "read a b; echo $((a * b))").outcome == "wrong_answer"
    assert Judge(shell).grade(ADDING, "if true; then").outcome == "compile_error"
    failed = shell.run("echo oh no >&2; exit 7", [""])[0]
    assert (failed.status, failed.error_type, failed.traceback) == ("runtime_error", "exit code 7", "oh no")


@pytest.mark.parametrize(
    "program",
    [
        "a, b = map(int, input().split())\nprint(a + b)",
        "print(1",
        "1 / 0",
        "raise SystemExit(3)",
        "while True: pass",
        "x = bytearray(10**10)",
        "import sys; sys.stderr.write('x'); print(sys.stdin.read(), end='')",
    ],
)
def test_python_by_its_commands_ends_as_the_workers_own(docker_sandbox: Sandbox, program: str) -> None:
    ours = docker_sandbox.run(program, ["1 2"], limits=QUICK)[0]
    by_commands = LanguageSandbox(docker_sandbox, PYTHON).run(program, ["1 2"], limits=QUICK)[0]
    assert (by_commands.status, by_commands.output or "") == (ours.status, ours.output or "")


def test_a_tree_grows_in_the_language_of_its_tasks_sandbox(docker_sandbox: Sandbox) -> None:
    adding = replace(ADDING, scoring=(TestCase("1 3\n", "4\n"),))
    words = ChatTemplates("shell", "You write shell scripts.", "Write a shell script; reply with one ```sh block.")
    task = mars2_env.task(
        ProblemSet("test", (adding,), split="train"),
        sandbox=LanguageSandbox(docker_sandbox, SHELL),
        prompts=Prompts(words),
        budget=3,
    )
    asked = []

    def reply(turn: Turn) -> str:
        asked.append(turn.messages[-1]["content"])
        return ["So:\n```sh\nif true; then\n```\n", "```sh\nread a b\necho $((a + b))\n```"][len(asked) > 1]

    (tree,) = mars2_env.rollout(task, ScriptedPolicy(reply), limit=1)
    assert [node.score for node in tree.nodes][:2] == [0.0, 1.0]
    assert tree.nodes[0].verdict.outcome == "compile_error"
    assert asked[0].endswith("one ```sh block.")


def test_a_compiler_that_is_not_there_is_a_fault_and_never_a_compile_error(docker_sandbox: Sandbox) -> None:
    with pytest.raises(SandboxUnavailableError, match=r"cpp does not work in this sandbox.*\n?.*/usr/bin/g\+\+"):
        LanguageSandbox(docker_sandbox, CPP).run(ADD, ["1 2"])


def test_functions_are_called_in_python_alone(docker_sandbox: Sandbox) -> None:
    problem = Problem("test/call", "Add.", interface=Call("add"), public=(TestCase([1, 2], 3),))
    with pytest.raises(ConfigError, match="functions are called in Python alone"):
        Judge(LanguageSandbox(docker_sandbox, SHELL)).grade(problem, "read a")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ConfigError, match="'c\\+\\+'"):
        make_sandbox("docker", language="c++")
    with pytest.raises(ConfigError, match="scripted"):
        make_sandbox("scripted", language="cpp")
    with pytest.raises(ConfigError, match="not the name of a file"):
        Language("x", "../x", known_good="", run=("/bin/x",))
    with pytest.raises(ConfigError, match="give `run`"):
        Language("x", "x", known_good="")


def test_a_language_sandbox_can_be_pickled(docker_sandbox: Sandbox) -> None:
    copy = pickle.loads(pickle.dumps(LanguageSandbox(docker_sandbox, SHELL)))
    with copy:
        assert copy.identity == LanguageSandbox(docker_sandbox, SHELL).identity
        assert copy.run("read a; echo $a", ["x"])[0].output == "x\n"


def test_packages_are_taken_with_all_that_they_depend_on(compiler: None) -> None:
    names = closure(["g++"])
    assert {"g++", "libc6-dev", "binutils", "libc6"} <= set(names)
    files = {file.path for file in package_files(["g++"])}
    assert {"/usr/bin/g++", "/usr/bin/as", "/usr/bin/ld"} <= files
    assert not any(path.startswith("/usr/share/doc/") for path in files)
    with pytest.raises(SandboxUnavailableError, match="apt-get install -y no-such-package"):
        closure(["g++", "no-such-package"])
