"""What is known about the problem sets that come with the library: splits, what each is for, licence, whence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mars2_env.errors import ConfigError, unknown_name
from mars2_env.problems.base import Provenance, Use


@dataclass(frozen=True, slots=True)
class Hub:
    """Where on the Hugging Face hub a set is: arguments of `datasets.load_dataset`."""

    repository: str
    configuration: str | None = None
    revision: str | None = None
    data_files: str | None = None
    splits: Mapping[str, str] | None = None
    """Our split -> theirs, where they differ."""


@dataclass(frozen=True, slots=True)
class SetInfo:
    """One problem set.

    `loader` is its dotted name; `splits` maps each split to what its tests are for; `default` is the split that is
    loaded unless another is asked for (None: it must be said, or told by the name of the file).
    """

    name: str
    loader: str
    about: str
    home: str
    licence: str
    splits: Mapping[str, Use]
    default: str | None
    hub: Hub | None = None

    def choose(self, split: str | None, path: str | None = None) -> tuple[str, Use]:
        """Return the split to load, and its use.

        Raises:
            ConfigError: there is no such split, the file's name tells another, or nothing tells.
        """
        if split is not None and split not in self.splits:
            raise ConfigError(unknown_name(f"split of {self.name}", str(split), self.splits))
        told = _told(path, self.splits) if path is not None and len(self.splits) > 1 else None
        if split is not None and told is not None and told != split:
            raise ConfigError(
                f"{self.name}: split {split!r} was asked for, and the name of {path} tells {told!r}. "
                f"Rename the file, or ask for split={told!r}."
            )
        chosen = split or told or self.default
        if chosen is None:
            raise ConfigError(f"{self.name}: which split is it? Say split= one of {', '.join(self.splits)}.")
        return chosen, self.splits[chosen]

    def provenance(self, *files: str) -> Provenance:
        """Return where a set that was read from `files` comes from."""
        return Provenance(self.home, self.licence, tuple(files))


_ALIASES: Final = {"valid": "validation", "validation": "valid", "val": "valid", "dev": "validation"}


def _told(path: str, splits: Mapping[str, Use]) -> str | None:
    """Return the one split that is a word of the file's name, or the whole name of its folder."""
    for words in (set(re.findall(r"[a-z]+", Path(path).name.lower())), {Path(path).parent.name.lower()}):
        words |= {_ALIASES[word] for word in words if word in _ALIASES}
        found = [split for split in splits if split in words]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _set(name: str, module: str, *rest: str, splits: dict[str, Use], **options: object) -> SetInfo:
    default = options.pop("default", next(iter(splits)) if len(splits) == 1 else None)
    about, home, licence = rest
    return SetInfo(name, f"{module}:load", about, home, licence, splits, default, **options)  # type: ignore[arg-type]


_IN: Final = "mars2_env.problems."

SETS: Final = {
    info.name: info
    for info in (
        _set(
            "starter",
            _IN + "starter",
            "our own small problems, generated; nothing to download",
            "comes with mars2_env",
            "Apache-2.0",
            splits={"train": "training", "test": "training"},
            default="train",
        ),
        _set(
            "humaneval",
            _IN + "humaneval",
            "164 functions to complete (Chen et al. 2021)",
            "https://github.com/openai/human-eval",
            "MIT",
            splits={"test": "evaluation"},
        ),
        _set(
            "mbpp",
            _IN + "mbpp",
            "974 small functions (Austin et al. 2021)",
            "https://github.com/google-research/google-research/tree/master/mbpp",
            "CC-BY-4.0",
            splits={"train": "training", "validation": "evaluation", "test": "evaluation", "prompt": "training"},
            default="test",
            hub=Hub("google-research-datasets/mbpp", "full"),
        ),
        _set(
            "quixbugs",
            _IN + "quixbugs",
            "40 programs with a bug in one line (Lin et al. 2017)",
            "https://github.com/jkoppel/QuixBugs",
            "MIT",
            splits={"test": "evaluation"},
        ),
        _set(
            "codecontests",
            _IN + "codecontests",
            "contest problems of AlphaCode (Li et al. 2022)",
            "https://github.com/google-deepmind/code_contests",
            "CC-BY-4.0",
            splits={"train": "training", "valid": "evaluation", "test": "evaluation"},
            hub=Hub("deepmind/code_contests"),
        ),
        _set(
            "taco",
            _IN + "taco",
            "26,443 problems of contests and courses (Li et al. 2023)",
            "https://github.com/FlagOpen/TACO",
            "Apache-2.0",
            splits={"train": "training", "test": "evaluation"},
            hub=Hub("BAAI/TACO", revision="refs/convert/parquet"),
        ),
        _set(
            "apps",
            _IN + "apps",
            "10,000 problems of contests and courses (Hendrycks et al. 2021)",
            "https://github.com/hendrycks/apps",
            "MIT",
            splits={"train": "training", "test": "evaluation"},
            hub=Hub("codeparrot/apps", "all", revision="refs/convert/parquet"),
        ),
        _set(
            "deepcoder",
            _IN + "deepcoder",
            "the JSON of rllm: contest problems as DeepCoder was trained on",
            "https://github.com/agentica-project/rllm",
            "MIT; the problems as their sources (CodeContests CC-BY-4.0, TACO Apache-2.0)",
            splits={"train": "training", "test": "evaluation"},
            hub=Hub("agentica-org/DeepCoder-Preview-Dataset", "taco"),
        ),
        _set(
            "leetcode",
            _IN + "leetcode",
            "LeetCodeDataset (Xia et al. 2025)",
            "https://github.com/newfacade/LeetCodeDataset",
            "Apache-2.0",
            splits={"train": "training", "test": "evaluation"},
            hub=Hub("newfacade/LeetCodeDataset"),
        ),
        _set(
            "livecodebench",
            _IN + "livecodebench",
            "contest problems with their dates (Jain et al. 2024)",
            "https://github.com/LiveCodeBench/LiveCodeBench",
            "CC (of the data; see the data's page)",
            splits={"test": "evaluation"},
            hub=Hub("json", data_files="hf://datasets/livecodebench/code_generation_lite/test*.jsonl"),
        ),
        _set(
            "evalplus",
            _IN + "evalplus",
            "HumanEval+ and MBPP+: many more tests (Liu et al. 2023)",
            "https://github.com/evalplus/evalplus",
            "Apache-2.0",
            splits={"test": "evaluation"},
            hub=Hub("evalplus/humanevalplus"),
        ),
        _set(
            "jsonl",
            _IN + "jsonl",
            "a file of your own, one problem a line",
            "your own",
            "your own",
            splits={"train": "training", "test": "evaluation"},
        ),
    )
}
"""Name -> what is known about the set."""
