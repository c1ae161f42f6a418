"""Runs untrusted programs: the contract (`Sandbox`), the Docker and bubblewrap back ends, and how to get one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mars2_env.sandbox.base import Sandbox
from mars2_env.sandbox.kinds import check_kind, kind_of, make_sandbox, register_sandbox, why_taken
from mars2_env.sandbox.language import CPP, LANGUAGES, PYTHON, Language

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
    "check_kind",
    "dockerfile",
    "kind_of",
    "make_sandbox",
    "register_sandbox",
    "why_taken",
]


def check(kind: str = "auto", **options: Any) -> Report:
    """Make a sandbox and test it: which isolation is in force, and whether known programs end as they must.

    Args:
        kind: As in `make_sandbox`, as are the options.
        options: Passed on.

    Raises:
        SandboxError: there is none, or it fails to start.
    """
    from mars2_env.sandbox.check import check as run_checks

    globals()["check"] = _check  # importing the submodule of that name has taken the function's place
    return run_checks(kind, **options)


_check = check


def build_image(
    *,
    numpy: bool = False,
    packages: Sequence[str] = (),
    python_packages: Sequence[str] = (),
    force: bool = False,
) -> str:
    """Build the sandbox image where the engine does not have it, and return its name.

    Args:
        numpy: The same as "numpy" among the `python_packages`.
        packages: Debian packages to add, see `DockerSandbox`.
        python_packages: Python distributions to add, see `DockerSandbox`.
        force: Build it anyway.

    Raises:
        SandboxUnavailableError: no engine answers, or a package is not installed here.
    """
    from mars2_env.sandbox.distributions import names_of
    from mars2_env.sandbox.docker import connect
    from mars2_env.sandbox.image import build_image as build

    client = connect()
    try:
        names = names_of(python_packages, numpy=numpy)
        return build(client, python_packages=names, packages=packages, force=force).name
    finally:
        client.close()


def dockerfile(*, numpy: bool = False, packages: Sequence[str] = (), python_packages: Sequence[str] = ()) -> str:
    """Return a Dockerfile for the sandbox image, for those who have a registry or no Linux Python."""
    from mars2_env.sandbox.distributions import names_of
    from mars2_env.sandbox.image import dockerfile as text

    return text(python_packages=names_of(python_packages, numpy=numpy), packages=packages)


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
