"""A reward model of transformers: the probability that a program passes hidden tests, by its text and public facts.

Spec: `rm:FOLDER`, with the options `batch` (the most programs of a forward pass) and `device`. The folder holds weights
in safetensors, the tokenizer, and `rm.json`: how texts are cut, the calibration, and the problems that it learned from,
whose programs it refuses to rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mars2_agents.learners.folders import written
from mars2_agents.models.calibration import STATUSES, Calibration, Floats, Status, probabilities
from mars2_agents.models.checkpoints import on_device, own_weights, read_checkpoint
from mars2_agents.models.encoding import Encoder, padded
from mars2_agents.models.examples import digest, facts, status
from mars2_agents.policies.smollm2 import without_bars
from mars2_env.base.checks import whole_number
from mars2_env.base.journal import refusing
from mars2_env.errors import ConfigError, LogError
from mars2_env.types import PublicView, Verdict

FILE: Final = "rm.json"
DIGITS: Final = 6
"""To how many digits scores are given: what is in a batch changes the last bits of a forward pass."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a reward model besides its weights.

    Attributes:
        max_tokens: of a text (`Encoder`).
        problems: the ids of the problems that it learned from, calibration included -> digest of the statement.
        calibration: from raw scores to probabilities, by what public tests said.
        base: the checkpoint that an adapter lies over; "" where the folder has all of the weights.
        learned: what it was trained with and on, and what was measured then: for who looks.
    """

    max_tokens: int
    problems: Mapping[str, str]
    calibration: Mapping[Status, Calibration] = field(default_factory=lambda: dict.fromkeys(STATUSES, Calibration()))
    base: str = ""
    learned: Mapping[str, Any] = field(default_factory=dict)


class LearnedRewardModel:
    """Rates programs by a sequence classifier of transformers.

    It takes in what public tests found where the search tells it (`mars2_env.types.RatesTested`), and refuses problems
    that it learned from, by id or by statement (`mars2_env.types.ChecksProblems`).

    Args:
        model: the classifier, with one output.
        tokenizer: its tokenizer.
        about: what else there is to know.
        batch: the most programs of one forward pass.
    """

    def __init__(self, model: Any, tokenizer: Any, about: About, *, batch: int = 64) -> None:
        self.model = model.eval()
        self.about = about
        self.batch = whole_number("batch", batch, where="rm")
        self.encoder = Encoder(tokenizer, about.max_tokens)
        self._statements = frozenset(about.problems.values())
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"LearnedRewardModel({self.name}, learned from {len(self.about.problems)} problems)"

    @cached_property
    def name(self) -> str:
        """What logs know the model by: a digest of all that decides its scores."""
        found = sha256(json.dumps([self.about.max_tokens, asdict(self.about)["calibration"], self.about.base]).encode())
        for name, tensor in sorted(own_weights(self.model).items()):
            found.update(name.encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return f"rm:{found.hexdigest()[:16]}"

    @property
    def identity(self) -> str:
        """The same (`mars2_env.types.Identified`)."""
        return self.name

    def check_problems(self, problems: Sequence[PublicView]) -> None:
        """Check that the model learned from none of these.

        Raises:
            ConfigError: it did, or from one with the same statement.
        """
        for problem in problems:
            if problem.id in self.about.problems:
                raise ConfigError(
                    f"{self!r} learned from problem {problem.id!r}, hidden verdicts among it, and rates no program of "
                    "it: what comes out would say nothing. Play other problems, or train the model without this one."
                )
            if digest(problem.statement) in self._statements:
                known = next(id for id, one in self.about.problems.items() if one == digest(problem.statement))
                raise ConfigError(
                    f"{self!r} learned from problem {known!r}, which has the statement of {problem.id!r}, and rates no "
                    "program of it. Play other problems, or train the model without that one."
                )

    def score(self, problem: PublicView, programs: Sequence[str]) -> list[float]:
        """Return the probability of each program, in order, that it passes the hidden tests; no test is known."""
        return self._rated(problem, programs, [None] * len(programs))

    def score_tested(self, problem: PublicView, programs: Sequence[str], verdicts: Sequence[Verdict]) -> list[float]:
        """Return the same, given what public tests found of each program."""
        return self._rated(problem, programs, verdicts)

    def _rated(self, problem: PublicView, programs: Sequence[str], verdicts: Sequence[Verdict | None]) -> list[float]:
        self.check_problems([problem])
        rows = [
            self.encoder(problem.statement, facts(verdict), program)
            for program, verdict in zip(programs, verdicts, strict=True)
        ]
        found = probabilities(self.about.calibration, self.raw(rows), [status(verdict) for verdict in verdicts])
        return [round(float(one), DIGITS) for one in found]

    def raw(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Return the classifier's own score of each text, shape (rows,); those of like length share a forward pass.

        Args:
            rows: the tokens of each text, as the encoder gives them.
        """
        found = np.zeros(len(rows))
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        with self._lock, torch.no_grad():
            for start in range(0, len(order), self.batch):
                places = order[start : start + self.batch]
                ids, mask = padded([rows[place] for place in places], self.encoder.pad_id)
                found[places] = scores(self.model, ids, mask).double().cpu().numpy()
        return found

    def told(self, **changes: Any) -> LearnedRewardModel:
        """Return the same model with some of what is known of it replaced."""
        about = replace(self.about, **changes)
        return LearnedRewardModel(self.model, self.encoder.tokenizer, about, batch=self.batch)

    def save(self, folder: str | Path) -> None:
        """Write the model as a folder of safetensors and JSON; whole or not at all. An earlier one there is replaced.

        Raises:
            ConfigError: there is something else already.
            LogError: the disk is full, or the place cannot be written.
        """
        target = Path(folder)
        check_target(target)
        with refusing(target), written(target) as build, without_bars():
            self.model.save_pretrained(build)
            self.encoder.tokenizer.save_pretrained(build)
            (build / FILE).write_text(json.dumps(asdict(self.about), indent=1), encoding="utf-8")


def check_target(folder: Path) -> None:
    """Check that a model may be written to a folder: it is not there, or empty, or holds an earlier model.

    Raises:
        ConfigError: there is something else.
    """
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not free and not (folder / FILE).is_file():
        raise ConfigError(f"{folder} is there already and no reward model (no {FILE} in it); give another folder.")


def scores(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return the one output of a classifier for each row, (rows,), on the model's device.

    Args:
        model: the classifier.
        ids: (rows, tokens).
        mask: (rows, tokens), 0 where a row is filled up.
    """
    device = next(model.parameters()).device
    return model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, 0]


def load_reward_model(folder: str | Path, *, batch: int = 64, device: str = "auto") -> LearnedRewardModel:
    """Return the model that `save` wrote.

    Raises:
        LogError: the folder holds none.
        ConfigError: the device is unknown or not there, or the batch is no whole number.
        PolicyError: the weights cannot be loaded.
    """
    place = Path(folder).expanduser()
    about = _read_about(place)
    model, tokenizer = read_checkpoint(about.base, adapter=place) if about.base else read_checkpoint(str(place))
    return LearnedRewardModel(on_device(model, device), tokenizer, about, batch=batch)


def _read_about(place: Path) -> About:
    try:
        found = json.loads((place / FILE).read_text(encoding="utf-8"))
        problems = {str(id): str(one) for id, one in found["problems"].items()}
        calibration = {one: Calibration(**found["calibration"][one]) for one in STATUSES}
        return About(int(found["max_tokens"]), problems, calibration, str(found["base"]), dict(found["learned"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LogError(
            f"{place} holds no reward model: {FILE} in it cannot be read ({type(error).__name__}: {error}). Give a "
            "folder that training wrote."
        ) from None


def learned_by(base: str) -> Mapping[str, str]:
    """Return the problems that a checkpoint learned from, as `About.problems`: those of a reward model, else none."""
    place = Path(base).expanduser()
    return _read_about(place).problems if (place / FILE).is_file() else {}


def from_spec(rest: str, *, batch: int = 64, device: str = "auto") -> LearnedRewardModel:
    """Build the reward model of a spec `rm:FOLDER,batch=64,device=auto`.

    Raises:
        ConfigError: there is no folder in it, or an option makes no sense.
        LogError: the folder holds no reward model.
        PolicyError: its weights cannot be loaded.
    """
    if not rest:
        raise ConfigError("rm needs the folder of a reward model: rm:FOLDER.")
    return load_reward_model(rest, batch=batch, device=device)
