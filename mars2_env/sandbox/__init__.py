"""Runs untrusted programs: the contract (`Sandbox`), the Docker and bubblewrap back ends, and how to get one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from mars2_env.errors import ConfigError, SandboxError, SandboxUnavailableError, unknown_name
from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.language import CPP, LANGUAGES, PYTHON, Language, language_of

if TYPE_CHECKING:
    from mars2_env.sandbox.bubblewrap import BubblewrapSandbox
    from mars2_env.sandbox.cached import CachedSandbox
    from mars2_env.sandbox.check import Report
    from mars2_env.sandbox.docker import DockerSandbox
    from mars2_env.sandbox.language_sandbox import LanguageSandbox

__all__ = [
    "CPP",
    "LANGUAGES",
    "PYTHON",
    "BubblewrapSandbox",
    "CachedSandbox",
    "DockerSandbox",
    "Language",
    "LanguageSandbox",
    "Sandbox",
    "build_image",
    "check",
    "dockerfile",
    "make_sandbox",
]

KINDS: Final = ("auto", "bubblewrap", "docker", "scripted")


def make_sandbox(
    kind: str = "auto", *, workers: int | None = None, language: str | Language = PYTHON, **options: Any
) -> Sandbox:
    """Make a sandbox.

    Args:
        kind: "docker"; "bubblewrap": where there is no container engine; "auto": the first of these that runs a known
            program as it must; "scripted": answers as told and runs nothing, for tests of what uses a sandbox
            (`mars2_env.testing.ScriptedSandbox`).
        workers: How many runs go on at a time; None: one for each core.
        language: What programs are written in: "python", "cpp" or a `Language` of your own. In any but Python, programs
            read standard input; the tools are taken from this host's Debian packages, or are in an `image` of yours.
        options: Passed on, see `DockerSandbox` and `BubblewrapSandbox`.

    Returns:
        A sandbox, to be used in a `with` statement or closed. Its workers start in the background.

    Raises:
        ConfigError: the kind or an option is unknown or makes no sense.
        SandboxUnavailableError: nothing here can run untrusted programs safely; the message names the command that
            mends it. There is no unsafe fallback.
    """
    if kind not in KINDS:
        raise ConfigError(unknown_name("sandbox", kind, KINDS))
    spoken = language_of(language)
    if spoken != PYTHON:
        if kind == "scripted":
            raise ConfigError(f'make_sandbox("scripted", language={spoken.name!r}): it runs nothing in any language.')
        options["packages"] = (*options.get("packages", ()), *spoken.packages)
    maker: Any
    if kind == "scripted":
        from mars2_env.sandbox.scripted import ScriptedSandbox as maker  # noqa: N813
    else:
        maker = {"auto": _best, "bubblewrap": _bubblewrap, "docker": _docker}[kind]
        options["workers"] = workers
    try:
        sandbox: Sandbox = maker(**options)
    except TypeError as error:
        raise ConfigError(f"make_sandbox({kind!r}): {error}.") from None
    if spoken != PYTHON:
        from mars2_env.sandbox.language_sandbox import LanguageSandbox

        return LanguageSandbox(sandbox, spoken)
    return sandbox


def _docker(**options: Any) -> Sandbox:
    from mars2_env.sandbox.docker import DockerSandbox

    return DockerSandbox(**options)


def _bubblewrap(**options: Any) -> Sandbox:
    from mars2_env.sandbox.bubblewrap import BubblewrapSandbox

    return BubblewrapSandbox(**options)


def _best(**options: Any) -> Sandbox:
    reasons = []
    # An engine's options say that an engine is wanted.
    makers = (_docker,) if options.keys() & {"image", "runtime"} else (_docker, _bubblewrap)
    for maker in makers:
        sandbox = None
        try:
            sandbox = maker(**options)
            run = sandbox.run("print(input())", ["known\n"])[0]  # its first worker has run others already
            if run.status == "ok" and run.output == "known\n":
                return sandbox
            reasons.append(f"{maker.__name__[1:]}: a known program ended in {run}")
        except SandboxError as error:
            reasons.append(f"{maker.__name__[1:]}: {error}")
        except BaseException:
            if sandbox is not None:
                sandbox.close()
            raise
        if sandbox is not None:
            sandbox.close()
    raise SandboxUnavailableError(
        "nothing here can run untrusted programs safely, so none will be run. " + " ".join(reasons)
    )


def check(kind: str = "auto") -> Report:
    """Make a sandbox and test it: which isolation is in force, and whether known programs end as they must.

    Raises:
        SandboxError: there is none, or it fails to start.
    """
    from mars2_env.sandbox.check import check as run_checks

    return run_checks(kind)


def build_image(*, numpy: bool = False, packages: Sequence[str] = (), force: bool = False) -> str:
    """Build the sandbox image where the engine does not have it, and return its name; `force` builds it anyway."""
    from mars2_env.sandbox.docker import connect
    from mars2_env.sandbox.image import build_image as build

    client = connect()
    try:
        return build(client, numpy=numpy, packages=packages, force=force).name
    finally:
        client.close()


def dockerfile(*, numpy: bool = False, packages: Sequence[str] = ()) -> str:
    """Return a Dockerfile for the sandbox image, for those who have a registry or no Linux Python."""
    from mars2_env.sandbox.image import dockerfile as text

    return text(numpy=numpy, packages=packages)


def __getattr__(name: str) -> Any:
    if name == "DockerSandbox":
        from mars2_env.sandbox.docker import DockerSandbox

        return DockerSandbox
    if name == "BubblewrapSandbox":
        from mars2_env.sandbox.bubblewrap import BubblewrapSandbox

        return BubblewrapSandbox
    if name == "LanguageSandbox":
        from mars2_env.sandbox.language_sandbox import LanguageSandbox

        return LanguageSandbox
    if name == "CachedSandbox":
        from mars2_env.sandbox.cached import CachedSandbox

        return CachedSandbox
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
