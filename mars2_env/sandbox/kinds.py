"""Kinds of sandboxes by name, and how to get one: the library's own, registered ones and those that packages offer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from mars2_env.base.checks import whole_number
from mars2_env.base.parts import Parts
from mars2_env.errors import ConfigError, PartError, SandboxError, SandboxUnavailableError, unknown_name
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.distributions import closure, names_of
from mars2_env.sandbox.language import PYTHON, Language, language_of
from mars2_env.sandbox.pool import MAX_WORKERS
from mars2_env.sandbox.scripted import ScriptedSandbox

F = TypeVar("F", bound=Callable[..., Any])

_log = logging.getLogger(__name__)

_MEMBERS: Final = ("identity", "run", "stream", "arun", "astream", "close", "__enter__", "__exit__")
"""What a `Sandbox` has."""


def make_sandbox(
    kind: str = "auto", *, workers: int | None = None, language: str | Language = PYTHON, **options: Any
) -> Sandbox:
    """Make a sandbox.

    Args:
        kind: "docker"; "bubblewrap": where there is no container engine; "auto": the first of these that runs a known
            program as it must; "scripted": answers as told and runs nothing, for tests of what uses a sandbox
            (`mars2_env.testing.ScriptedSandbox`); or one that was registered (`register_sandbox`) or that an installed
            package offers.
        workers: How many runs go on at a time, at most 1,024 of the library's own; None: one for each core.
        language: What programs are written in: "python", "cpp" or a `Language` of your own. In any but Python, programs
            read standard input; the tools are taken from this host's Debian packages, or are in an `image` of yours.
        options: Passed on, see `DockerSandbox` and `BubblewrapSandbox`, or what the kind is made by. Among them,
            `python_packages=["sortedcontainers"]` lets programs import Python distributions that are installed here.

    Returns:
        A sandbox, to be used in a `with` statement or closed. Workers of the library's own start in the background.

    Raises:
        ConfigError: the kind or an option is unknown or makes no sense, or a kind's factory returned no sandbox.
        SandboxUnavailableError: nothing here can run untrusted programs safely; the message names the command that
            mends it. There is no unsafe fallback.
    """
    if workers is not None and SANDBOXES.owns(kind):
        whole_number("workers", workers, most=MAX_WORKERS, where="make_sandbox")
    spoken = language_of(language)
    if spoken != PYTHON and kind == "scripted":
        raise ConfigError(f'make_sandbox("scripted", language={spoken.name!r}): it runs nothing in any language.')
    if spoken.packages:
        options["packages"] = (*options.get("packages", ()), *spoken.packages)
    sandbox = _made(kind, workers, options)
    if spoken != PYTHON:
        from mars2_env.sandbox.language_sandbox import LanguageSandbox

        return LanguageSandbox(sandbox, spoken)
    return sandbox


def _made(kind: str, workers: int | None, options: dict[str, Any]) -> Sandbox:
    try:
        sandbox: Sandbox = SANDBOXES.build(kind, options=options, workers=workers)
    except TypeError as error:
        raise ConfigError(f"make_sandbox({kind!r}): {error}.") from error
    if SANDBOXES.owns(kind):
        return sandbox  # its identity, which would be looked at, is worked out when it is first asked for
    if missing := [name for name in _MEMBERS if not hasattr(sandbox, name)]:
        raise ConfigError(
            f"sandbox {kind!r}: its factory returned {sandbox!r:.200}, which is no Sandbox; "
            f"it lacks {', '.join(missing)}."
        )
    return sandbox


def _scripted(*, workers: int | None = None, script: Any = None, identity: str = "scripted") -> Sandbox:
    """Return a sandbox that runs nothing, and so has no workers."""
    return ScriptedSandbox(script, identity=identity)


_taken: Final[WeakKeyDictionary[Any, str]] = WeakKeyDictionary()


def check_kind(kind: str) -> None:
    """Check that there is such a kind of sandbox, without making one.

    Raises:
        PartError: there is none; the message lists those that there are.
    """
    if kind not in SANDBOXES:
        raise PartError(unknown_name("sandbox", kind, SANDBOXES.names()))


def why_taken(sandbox: Sandbox) -> str:
    """Return why "auto" took this sandbox, in a sentence; "" for one that was asked for by its own kind."""
    return _taken.get(sandbox, "")


def kind_of(identity: str) -> str | None:
    """Return the kind of the library's own sandbox that has this identity; None for any other's."""
    kind = identity.partition(":")[0]
    return kind if kind in ("docker", "bubblewrap") else None


def _best(*, workers: int | None = None, **options: Any) -> Sandbox:
    """Return the first that runs a known program as it must; what it is, and why, is in `why_taken` and logged."""
    reasons: list[str] = []
    level = logging.INFO  # where there is no engine, nobody expected it
    # An engine's options say that an engine is wanted.
    if names := names_of(options.get("python_packages", ()), numpy=bool(options.get("numpy"))):
        closure(names)  # what is not installed here is missing in either
    kinds = ("docker",) if options.keys() & {"image", "runtime"} else ("docker", "bubblewrap")
    for kind in kinds:
        sandbox = None
        try:
            sandbox = _made(kind, workers, options)
            run = sandbox.run("print(input())", ["known\n"])[0]  # its first worker has run others already
            if run.status == "ok" and run.output == "known\n":
                _taken[sandbox] = " ".join([f"{kind} runs a known program as it must.", *reasons])
                _log.log(level, "sandbox auto: %s", _taken[sandbox])
                return sandbox
            reasons.append(f"{kind}: a known program ended in {run}")
        except SandboxError as error:
            reasons.append(f"{kind}: {error}")
        except BaseException:
            if sandbox is not None:
                sandbox.close()
            raise
        if sandbox is not None:
            level = logging.WARNING  # it is there, and of no use
            sandbox.close()
    raise SandboxUnavailableError(
        "nothing here can run untrusted programs safely, so none will be run. " + " ".join(reasons)
    )


SANDBOXES: Final = Parts(
    "sandbox",
    "mars2_env.sandboxes",
    {
        "auto": _best,
        "bubblewrap": "mars2_env.sandbox.bubblewrap:BubblewrapSandbox",
        "docker": "mars2_env.sandbox.docker:DockerSandbox",
        "scripted": _scripted,
    },
)
"""The library's own kinds, and those that programs and packages add."""


def register_sandbox(name: str) -> Callable[[F], F]:
    """Return a decorator that makes `name` a kind of sandbox, for `make_sandbox` and wherever a kind is named.

    What is decorated is called as `factory(*, workers, **options)`, with the options that `make_sandbox` was given, and
    returns a `Sandbox`. `workers` is how many runs go on at a time; None leaves it to the sandbox.

    Args:
        name: The kind; one that cannot be written in a spec is refused.

    Raises:
        ConfigError: the name is taken, or no name.
    """
    return SANDBOXES.decorator(name)
