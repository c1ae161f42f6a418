"""Languages that programs may be written in: how a program's text is checked, and how it is run.

A worker's own language is Python: each run is a fork of a warm interpreter. Any other is a `Language` value and nothing
else: `LanguageSandbox` checks and runs its programs by two small Python programs of ours, in the place of a candidate,
so that whatever a candidate has its compiler do is confined and limited like a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mars2_env.errors import ConfigError, unknown_name
from mars2_env.types import Limits

CHECK_LIMITS: Final = Limits(
    cpu_seconds=15.0, wall_seconds=75.0, memory_bytes=512 * 2**20, output_bytes=4 * 2**20, processes=64
)
"""Of a compiler. `output_bytes` is for what it makes, compressed and in base64."""


@dataclass(frozen=True, slots=True)
class Language:
    """A programming language.

    Commands are run in an empty scratch folder that holds the program; their first word is an absolute path in the
    sandbox, where /usr/bin has the tools of `packages`.

    Attributes:
        name: What it is called, also in a sandbox's identity.
        file: Name of the file that the program's text is put into.
        check: The command that compiles the program, or checks its syntax: run once for each program. If it fails, the
            program is a compile error, with what the command printed. Empty: there is nothing to check.
        makes: Name of the file that `check` leaves and that is then the program; "": the text itself.
        run: The command that runs the program, whose path is put behind it; empty: the program is executed itself.
        known_good: A program that reads two numbers and prints their sum: every sandbox runs it before any other, so
            that a compiler that does not work is a `SandboxError` and never a compile error.
        packages: The Debian packages with its tools, as installed on this host (`DockerSandbox`).
        out_of_memory: What a program that is denied memory prints to standard error before it is aborted; "": nothing.
        check_limits: Limits of `check`.
    """

    name: str
    file: str
    known_good: str
    check: tuple[str, ...] = ()
    makes: str = ""
    run: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    out_of_memory: str = ""
    check_limits: Limits = CHECK_LIMITS

    def __post_init__(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ConfigError: a file's name is none, or there is no way to run the program.
        """
        for name in (self.file, *filter(None, (self.makes,))):
            if not name or "/" in name or name.startswith("."):
                raise ConfigError(f"Language({self.name!r}): {name!r} is not the name of a file.")
        if not self.run and not self.makes:
            raise ConfigError(f"Language({self.name!r}): give `run`, or what `check` makes that can be executed.")


_PYTHON: Final = ("/python/bin/python3", "-s", "-S", "-B", "-P", "-X", "utf8")
PYTHON: Final = Language(
    name="python",
    file="program.py",
    check=(*_PYTHON, "-c", "compile(open('program.py', 'rb').read(), 'program.py', 'exec', dont_inherit=True)"),
    run=_PYTHON,
    known_good="a, b = map(int, input().split())\nprint(a + b)\n",
    out_of_memory="MemoryError",
)
"""The workers' own: `make_sandbox` has them run it without these commands, each run a fork of a warm interpreter."""

CPP: Final = Language(
    name="cpp",
    file="program.cpp",
    check=("/usr/bin/g++", "-std=gnu++17", "-O2", "-pipe", "-fmax-errors=10", "-o", "program", "program.cpp"),
    makes="program",
    known_good="#include <iostream>\nint main() { long a, b; std::cin >> a >> b; std::cout << a + b << std::endl; }\n",
    packages=("g++",),
    out_of_memory="std::bad_alloc",
)
"""C++17 with GNU's extensions, compiled by this host's g++."""

LANGUAGES: Final[Mapping[str, Language]] = MappingProxyType({one.name: one for one in (PYTHON, CPP)})


def language_of(language: str | Language) -> Language:
    """Return a language by its name, or as it is.

    Raises:
        ConfigError: there is none of this name.
    """
    if isinstance(language, Language):
        return language
    if language not in LANGUAGES:
        raise ConfigError(unknown_name("language", language, LANGUAGES))
    return LANGUAGES[language]
