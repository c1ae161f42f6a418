"""Records from the Hugging Face hub, through the package `datasets` (an extra, imported when first used)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mars2_env.errors import ConfigError
from mars2_env.problems.catalogue import Hub, SetInfo
from mars2_env.problems.records import Place, read_rows


def rows(
    info: SetInfo, path: str | None, split: str, hub: str | None = None, configuration: str | None = None
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield a set's records: those of `path`, else those of the hub.

    Args:
        info: The set.
        path: A data file or a folder of such files.
        split: The split, for the hub; a file holds one.
        hub: `owner/name` or `owner/name@revision` in place of the set's own place on the hub; whatever
            `datasets.load_dataset` takes, a folder included.
        configuration: The dataset's configuration, in place of the usual one.

    Raises:
        ConfigError: there is no such file; or the package `datasets`, the dataset or the network is missing.
        ProblemError: a record is malformed.
    """
    if path is not None:
        if hub is not None or configuration is not None:
            raise ConfigError(f"{info.name}: give path= or hub=, not both.")
        return read_rows(path)
    place = info.hub
    if hub is not None:
        repository, _, revision = hub.partition("@")
        place = Hub(repository, configuration, revision or None)
    elif place is not None and configuration is not None:
        place = replace(place, configuration=configuration)
    if place is None:
        raise ConfigError(f"{info.name}: give path=FILE; the data are at {info.home}.")
    return _hub_rows(info, place, split)


def _hub_rows(info: SetInfo, hub: Hub, split: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    offline = f"Without a network give path=FILE; docs/problems.md says which file to fetch from {info.home}."
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            f"{info.name}: to read it from the hub, `pip install 'mars2-env[datasets]'`. {offline}"
        ) from None
    theirs = (hub.splits or {}).get(split, split)
    try:
        found = datasets.load_dataset(
            hub.repository,
            hub.configuration,
            split="train" if hub.data_files else theirs,
            revision=hub.revision,
            data_files=hub.data_files,
            streaming=True,
        )
        for number, record in enumerate(found):
            yield Place(hub.repository, number, f"{theirs} row"), record
    except (OSError, ValueError, RuntimeError, LookupError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{info.name}: the hub's {hub.repository} could not be read ({type(error).__name__}: {str(error)[:300]}). "
            f"{offline}"
        ) from error
