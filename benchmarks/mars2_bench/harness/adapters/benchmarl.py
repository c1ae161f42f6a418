"""MAPPO and IPPO of BenchMARL on the bank's vectors (tested with 1.5.2, in an environment of its own)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final

from mars2_bench.algorithms.network import one_core
from mars2_bench.harness.adapters.torchrl import GROUP, LOGITS, BankEnv, Plays
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.harness.adapters.benchmarl"):
    from benchmarl.algorithms import IppoConfig, MappoConfig
    from benchmarl.environments import TaskClass
    from benchmarl.experiment import Callback, Experiment, ExperimentConfig
    from benchmarl.models.mlp import MlpConfig
    from tensordict import TensorDict


class BankTask(TaskClass):
    """What BenchMARL asks of a task: vectors whose actors are one group, with masked discrete actions."""

    def get_env_fun(self, num_envs: int, continuous_actions: bool, seed: int | None, device: Any) -> Callable[[], Any]:
        """Return the factory of a vector."""
        named: Named = self.config["named"]
        return lambda: BankEnv(
            named.make_vec(num_envs, split="train", autoreset_mode="Disabled"), seed=seed, device=device
        )

    def supports_continuous_actions(self) -> bool:
        """Actions are slots of a tree."""
        return False

    def supports_discrete_actions(self) -> bool:
        """Actions are slots of a tree."""
        return True

    def max_steps(self, env: Any) -> int:
        """Return a number of steps that no tree goes beyond."""
        return int(self.config["named"].budget)

    def has_render(self, env: Any) -> bool:
        """There are no pictures."""
        return False

    def group_map(self, env: Any) -> dict[str, list[str]]:
        """Return the one group of all actors."""
        agents = env.actors.agents
        return {GROUP: ["controller"] if agents is None else list(agents)}

    def observation_spec(self, env: Any) -> Any:
        """Return what policies see, without masks."""
        spec = env.full_observation_spec_unbatched.clone()
        del spec[GROUP, "action_mask"]
        return spec

    def action_mask_spec(self, env: Any) -> Any:
        """Return the masks."""
        spec = env.full_observation_spec_unbatched.clone()
        del spec[GROUP, "observation"]
        return spec

    def action_spec(self, env: Any) -> Any:
        """Return the actions."""
        return env.full_action_spec_unbatched

    def state_spec(self, env: Any) -> None:
        """A critic that sees every actor's vector sees the whole tree."""

    def info_spec(self, env: Any) -> None:
        """There are no infos."""

    @staticmethod
    def env_name() -> str:
        """Return what BenchMARL files it under."""
        return "mars2_bench"


class _SpentError(Exception):
    """Learning is over: BenchMARL has no other way to end it before its number of frames, and calls it a failure."""


class _Until(Callback):
    """Ends learning when so many expansions are spent, and tells after each update."""

    def __init__(self, expansions: int, budget: int, told: Told | None) -> None:
        super().__init__()
        self._expansions, self._budget, self._told, self._spent = expansions, budget, told, 0

    def __getstate__(self) -> dict[str, Any]:
        """Say nothing to BenchMARL, which writes callbacks down for checkpoints: none are made."""
        return {}

    def on_batch_collected(self, batch: Any) -> None:
        """Count expansions: the first number of an observation is the share of the budget that is left."""
        left, after = (one[GROUP, "observation"][..., 0, 0] for one in (batch, batch["next"]))
        self._spent += int(((left - after) * self._budget).round().sum())

    def on_train_end(self, training_td: Any, group: str) -> None:
        """Tell what plays."""
        if self._told is not None:
            self._told(self._spent, plays_of(self.experiment.policy))
        if self._spent >= self._expansions:
            raise _SpentError


def plays_of(policy: Any) -> Plays:
    """Return the controller of a policy of BenchMARL."""

    def logits(rows: Any, masks: Any) -> Any:
        group = TensorDict({"observation": rows, "action_mask": masks}, rows.shape[:2])
        return policy(TensorDict({GROUP: group}, rows.shape[:1]))[LOGITS]

    return Plays(logits)


_ENDLESS: Final = 2**40
"""Frames that are never reached: expansions say when learning is over."""


@dataclass(frozen=True, slots=True)
class BenchMarl:
    """An algorithm of BenchMARL.

    Attributes:
        algorithm: "mappo" or "ippo".
        envs: trees grown side by side.
        steps: steps of each between two updates.
        epochs: passes over them in an update.
        batches: pieces of each pass.
        rate: of learning.
        entropy: weight of the policy's entropy.
    """

    algorithm: str = "mappo"
    envs: int = 128
    steps: int = 12
    epochs: int = 4
    batches: int = 4
    rate: float = 1e-3
    entropy: float = 0.01

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Plays:
        """Return what was learned."""
        frames = self.envs * self.steps
        config = ExperimentConfig.get_from_yaml()
        config.sampling_device = config.train_device = config.buffer_device = "cpu"
        config.max_n_frames = _ENDLESS
        config.on_policy_collected_frames_per_batch = frames
        config.on_policy_n_envs_per_worker = self.envs
        config.on_policy_minibatch_size = frames // self.batches
        config.on_policy_n_minibatch_iters = self.epochs
        config.lr, config.gamma, config.share_policy_params = self.rate, 1.0, True
        config.evaluation, config.render, config.loggers, config.create_json = False, False, [], False
        learns = {"mappo": MappoConfig, "ippo": IppoConfig}[self.algorithm].get_from_yaml()
        learns.entropy_coef, learns.lmbda = self.entropy, 0.95
        with one_core(seed), TemporaryDirectory() as folder:
            config.save_folder = folder
            experiment = Experiment(
                task=BankTask("bank", {"named": named}),
                algorithm_config=learns,
                model_config=MlpConfig.get_from_yaml(),
                seed=seed,
                config=config,
                callbacks=[_Until(expansions, named.budget, told)],
            )
            with suppress(_SpentError):
                experiment.run()
        return plays_of(experiment.policy)


@dataclass(frozen=True, slots=True)
class BenchMarlIppo(BenchMarl):
    """IPPO of BenchMARL."""

    algorithm: str = "ippo"
