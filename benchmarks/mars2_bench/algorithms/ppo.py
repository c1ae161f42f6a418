"""PPO for `route`: one controller chooses who writes, and where.

Schulman et al.: Proximal Policy Optimization Algorithms (arXiv 1707.06347).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mars2_bench.algorithms.clipped import advantages, entropy, normalised, objective
from mars2_bench.algorithms.network import Ints, SlotNetwork, log_policy, one_core, optimizer, sampled
from mars2_bench.suite.named import Named
from mars2_bench.suite.playing import Told
from mars2_env.base.extras import needed_by

with needed_by("mars2_bench.algorithms"):
    import torch


@dataclass(frozen=True, slots=True)
class Learned:
    """A controller that samples from what a network says."""

    network: Any

    def act(self, observations: dict[str, Any], rng: np.random.Generator) -> Ints:
        """Return an action for each tree."""
        seen, masks = torch.from_numpy(observations["observation"]), torch.from_numpy(observations["action_mask"] > 0)
        with torch.no_grad():
            return sampled(log_policy(self.network(seen)[0], masks).numpy(), rng)


@dataclass(frozen=True, slots=True)
class Ppo:
    """PPO and its settings.

    Attributes:
        envs: trees grown side by side.
        steps: expansions of each between two updates.
        epochs: passes over them in an update.
        batches: pieces of each pass.
        rate: of learning, at the beginning; it falls to 0 in a straight line.
        trace: lambda of the advantages.
        clip: of the objective.
        entropy: weight of the policy's entropy.
        value: weight of the error of values.
        norm: of gradients, at most.
        hidden: units of each layer.
    """

    envs: int = 256
    steps: int = 12
    epochs: int = 4
    batches: int = 4
    rate: float = 3e-3
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    norm: float = 0.5
    hidden: int = 64

    def __call__(self, named: Named, expansions: int, seed: int, told: Told | None = None) -> Learned:
        """Return what was learned of the training problems in so many expansions."""
        with one_core(seed):
            return self._learn(named, expansions, seed, told)

    def _learn(self, named: Named, expansions: int, seed: int, told: Told | None) -> Learned:
        vec = named.make_vec(self.envs, split="train", autoreset_mode="SameStep")
        layout, rng = vec.trees.game.layout, np.random.default_rng(seed)
        network = SlotNetwork(layout.head, layout.width, each=len(layout.agents), hidden=self.hidden)
        adam, learned = optimizer([network], self.rate), Learned(network)
        observations, _ = vec.reset(seed=seed)
        shape, updates = (self.steps, self.envs), max(1, expansions // (self.steps * self.envs))
        seen = np.zeros((*shape, layout.size), np.float32)
        masks = np.zeros((*shape, vec.single_action_space.n), np.bool_)
        actions, ends = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
        rewards, values, before = (np.zeros(shape, np.float32) for _ in range(3))
        for update in range(updates):
            for step in range(self.steps):
                seen[step], masks[step] = observations["observation"], observations["action_mask"]
                with torch.no_grad():
                    logits, worth = network(torch.from_numpy(seen[step]))
                    logs = log_policy(logits, torch.from_numpy(masks[step])).numpy()
                actions[step], values[step] = sampled(logs, rng), worth.numpy()
                before[step] = logs[np.arange(self.envs), actions[step]]
                observations, rewards[step], ends[step], _, _ = vec.step(actions[step])
            with torch.no_grad():
                last = network(torch.from_numpy(observations["observation"]))[1].numpy()
            gains = advantages(rewards, values, ends, last, self.trace)
            adam.param_groups[0]["lr"] = self.rate * (1 - update / updates)
            self._update(network, adam, rng, seen, masks, actions, before, gains, gains + values)
            if told is not None:
                told((update + 1) * self.steps * self.envs, learned)
        return learned

    def _update(self, network: Any, adam: Any, rng: np.random.Generator, *collected: Any) -> None:
        """Take steps up the objective with what was collected: arrays that begin with (steps, envs)."""
        flat = [torch.from_numpy(one.reshape(-1, *one.shape[2:])) for one in collected]
        for _ in range(self.epochs):
            for picked in np.array_split(rng.permutation(len(flat[0])), self.batches):
                seen, masks, actions, before, gains, returns = (one[picked] for one in flat)
                logits, values = network(seen)
                logs = log_policy(logits, masks)
                chosen = logs.gather(1, actions[:, None])[:, 0]
                loss = (
                    self.value * (values - returns).square().mean()
                    - objective(chosen, before, normalised(gains), self.clip)
                    - self.entropy * entropy(logs)
                )
                adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), self.norm)
                adam.step()
