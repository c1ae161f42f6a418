"""The bank's vectors as an environment of TorchRL, and PPO made of its parts; needs the extra `torchrl`.

One policy plays all actors. `centralised=True` gives the critic every actor's observation (MAPPO), else each has its
own (IPPO); in `route`, with one actor, they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mars2_bench.algorithms.network import log_policy, one_core, sampled
from mars2_bench.harness.adapters.actors import Actors, acting, agents_of, seen
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told, Vector
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.harness.adapters.torchrl"):
    import torch
    from tensordict import TensorDict, TensorDictBase
    from torchrl.collectors import Collector
    from torchrl.data import Binary, Categorical, Composite, Unbounded
    from torchrl.envs import EnvBase
    from torchrl.modules import MaskedCategorical, MultiAgentMLP, ProbabilisticActor, SafeModule
    from torchrl.objectives import ClipPPOLoss, ValueEstimators

GROUP: Final = "agents"
SEEN: Final = (GROUP, "observation")
MASK: Final = (GROUP, "action_mask")
LOGITS: Final = (GROUP, "logits")
ACTION: Final = (GROUP, "action")
REWARD: Final = (GROUP, "reward")
VALUE: Final = (GROUP, "value")


class BankEnv(EnvBase):
    """A vector of the bank: a batch of trees, in each of which the actors are one group, `agents`.

    Args:
        envs: of the mode `Disabled`: TorchRL says when a tree begins anew.
        seed: of the first trees.
        device: where tensors are.
    """

    batch_locked = True

    def __init__(self, envs: Vector, seed: int | None = None, device: Any = "cpu") -> None:
        """Wrap a vector."""
        self.actors, self._seed, self._begun = Actors(envs), seed, False
        trees, actors = self.actors.trees, self.actors.actors
        super().__init__(device=device, batch_size=torch.Size([trees]))
        shape = (trees, actors)

        def group(**specs: Any) -> Any:
            return Composite({GROUP: Composite(specs, shape=shape)}, shape=(trees,))

        self.observation_spec = group(
            observation=Unbounded((*shape, self.actors.columns), device=device),
            action_mask=Binary(shape=(*shape, self.actors.actions), dtype=torch.bool, device=device),
        )
        self.action_spec = group(action=Categorical(self.actors.actions, shape=shape, device=device))
        self.reward_spec = group(reward=Unbounded((*shape, 1), device=device))
        ends = {name: Categorical(2, shape=(trees, 1), dtype=torch.bool, device=device) for name in _ENDS}
        self.done_spec = Composite(ends, shape=(trees,))

    def _reset(self, tensordict: TensorDictBase | None = None, **options: Any) -> TensorDictBase:
        """Begin anew: everywhere at first, then where `_reset` says."""
        given = None if tensordict is None else tensordict.get("_reset", None)
        chosen = np.ones(self.actors.trees, np.bool_) if given is None else given.reshape(-1).cpu().numpy()
        seed = None if self._begun else self._seed
        self._begun = True
        observations, _ = self.actors.envs.reset(seed=seed, options={"reset_mask": chosen})
        ends = torch.zeros(self.actors.trees, 1, dtype=torch.bool, device=self.device)
        return self._told(*seen(observations, self.actors.agents), ends)

    def _step(self, tensordict: TensorDictBase) -> TensorDictBase:
        """Act in every tree."""
        rows, masks, rewards, ended = self.actors.step(tensordict[ACTION].cpu().numpy())
        found = self._told(rows, masks, torch.as_tensor(ended, device=self.device)[:, None])
        found[REWARD] = torch.as_tensor(rewards, device=self.device)[..., None]
        return found

    def _told(self, rows: Any, masks: Any, ends: Any) -> TensorDictBase:
        group = {
            "observation": torch.as_tensor(rows, device=self.device),
            "action_mask": torch.as_tensor(masks, device=self.device),
        }
        batch = (self.actors.trees, self.actors.actors)
        found = {GROUP: TensorDict(group, batch), **{name: ends.clone() for name in _ENDS}}
        return TensorDict(found, self.batch_size, device=self.device)

    def _set_seed(self, seed: int | None) -> None:
        self._seed, self._begun = seed, False


_ENDS: Final = ("done", "terminated")


@dataclass(frozen=True, slots=True)
class Plays:
    """A controller that samples from what a module says of (trees, actors, columns).

    Attributes:
        logits: from observations and masks, tensors over (trees, actors), to logits of actions.
    """

    logits: Any

    def act(self, observations: Any, rng: np.random.Generator) -> Any:
        """Return sampled actions for each tree."""
        agents = agents_of(observations)
        rows, masks = (torch.from_numpy(one) for one in seen(observations, agents))
        with torch.no_grad():
            logs = log_policy(self.logits(rows, masks).flatten(0, 1), masks.flatten(0, 1))
        return acting(sampled(logs, rng).reshape(masks.shape[:2]), agents)


@dataclass(frozen=True, slots=True)
class TorchRlPpo:
    """PPO.

    Attributes:
        centralised: whether the critic is given all actors' observations.
        envs: trees grown side by side.
        steps: steps of each between two updates.
        epochs: passes over them in an update.
        batches: pieces of each pass.
        rate: of learning.
        entropy: weight of the policy's entropy.
        cells: units of each layer.
    """

    centralised: bool = False
    envs: int = 128
    steps: int = 12
    epochs: int = 4
    batches: int = 4
    rate: float = 1e-3
    entropy: float = 0.01
    cells: int = 128

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Plays:
        """Return what was learned."""
        with one_core(seed):
            env = BankEnv(named.make_vec(self.envs, split="train", autoreset_mode="Disabled"), seed)
            return self._learned(env, expansions, told)

    def _learned(self, env: BankEnv, expansions: int, told: Told | None) -> Plays:
        actors = env.actors
        shape = {"n_agents": actors.actors, "depth": 2, "num_cells": self.cells, "share_params": True}
        net = MultiAgentMLP(actors.columns, actors.actions, centralized=False, **shape)
        critic = SafeModule(MultiAgentMLP(actors.columns, 1, centralized=self.centralised, **shape), [SEEN], [VALUE])
        policy = ProbabilisticActor(
            SafeModule(net, [SEEN], [LOGITS]),
            {"logits": LOGITS, "mask": MASK},
            [ACTION],
            distribution_class=MaskedCategorical,
            return_log_prob=True,
        )
        loss = ClipPPOLoss(policy, critic, normalize_advantage=True, entropy_coeff=self.entropy)
        ends = {name: (GROUP, name) for name in _ENDS}
        loss.set_keys(action=ACTION, reward=REWARD, value=VALUE, **ends)
        loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=0.95)
        adam = torch.optim.Adam(loss.parameters(), self.rate)
        plays = Plays(lambda rows, masks: net(rows))
        collector = Collector(env, policy, frames_per_batch=self.envs * self.steps, total_frames=-1)
        for batch in collector:
            for name in _ENDS:
                each = batch["next", name].unsqueeze(-1).expand(batch["next", *REWARD].shape)
                batch["next", GROUP, name] = each
            with torch.no_grad():
                loss.value_estimator(batch)
            flat = batch.flatten()
            for _ in range(self.epochs):
                for part in torch.randperm(len(flat)).chunk(self.batches):
                    found = loss(flat[part])
                    adam.zero_grad()
                    sum(value for name, value in found.items() if name.startswith("loss_")).backward()
                    adam.step()
            if told is not None:
                told(actors.expansions, plays)
            if actors.expansions >= expansions:
                break
        collector.shutdown()
        return plays


@dataclass(frozen=True, slots=True)
class TorchRlMappo(TorchRlPpo):
    """PPO whose critic is given all actors' observations."""

    centralised: bool = True
