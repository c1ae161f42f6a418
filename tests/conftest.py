"""What tests of several rooms share: the data beside the repository, the Docker engine, one Docker sandbox for all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import settings

from mars2_env.sandbox.base import Sandbox

# How long an example takes is the machine's business.
settings.register_profile("mars2", deadline=None)
settings.load_profile("mars2")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make the marker `docker` and the fixture `docker_engine` go together, whichever of them a test names."""
    for item in items:
        assert isinstance(item, pytest.Function)
        if "docker_engine" in item.fixturenames:
            item.add_marker("docker")
        elif item.get_closest_marker("docker"):
            item.fixturenames.insert(0, "docker_engine")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `pyproject.toml`."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of problem sets, hostile programs and vectors that is kept beside the repository, not in it."""
    folder = Path(os.environ.get("MARS2_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "exploits" / "manifest.json").is_file():
        pytest.skip(f"needs the shared data folder; there is none at {folder} (set MARS2_SHARED to its path)")
    return folder


@pytest.fixture(scope="session")
def docker_engine() -> None:
    """A Docker engine that answers; without one the test is skipped, or fails where MARS2_REQUIRE_DOCKER is 1."""
    import docker

    try:
        with closing(docker.from_env(timeout=10)) as client:
            client.ping()
    except docker.errors.DockerException as error:
        if os.environ.get("MARS2_REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"needs a Docker engine (run `make engine`): {error}")


@pytest.fixture(scope="session")
def docker_sandbox(docker_engine: None) -> Iterator[Sandbox]:
    """One warm Docker sandbox for the whole session; the tests that take it may leave nothing behind in it."""
    from mars2_env.sandbox import make_sandbox

    with make_sandbox("docker") as sandbox:
        yield sandbox
