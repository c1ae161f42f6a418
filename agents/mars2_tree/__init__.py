"""The game `write` for verifiers (tested with 0.4.0): several agents grow one tree, an episode holds all their traces.

verifiers finds tasks, environment and harness of a plugin by the name of a top-level module, so that this one is found
as `mars2-tree`:

    eval mars2-tree --env.budget 8 --env.taskset.problems starter --env.coder.model one --env.fixer.model another

A selector picks which agent writes next and what it refines; that agent is run once on the prompt of this turn, and its
reply is judged. Each run is a trace with the name of its agent and a reward of its own, so that a trainer sees who
earned what. Tests never reach a task's data: a task knows its problem's id and statement.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import mars2_env
from mars2_env import SandboxError
from mars2_env.base.extras import needed_by

with needed_by("mars2_tree"):
    import verifiers.v1 as vf
    from openai import AsyncOpenAI

__all__ = ["OneReply", "ProblemTaskset", "TreeEnv"]


class ProblemData(vf.TaskData):
    """A problem: its id and, as prompt, its statement or the prompt of a turn."""

    problem: str


class ProblemTask(vf.Task[ProblemData]):
    """Write a program for a problem; judged by the environment, not by the task."""


class ProblemTasksetConfig(vf.TasksetConfig):
    """Which problems."""

    problems: str = "starter"
    """The name of a problem set of mars2_env."""
    path: str | None = None
    """Where its files are, for sets that are loaded from files."""
    split: str | None = None
    """`train` or `test`; by default the set's own choice."""
    limit: int | None = None
    """Only the first so many problems."""


class ProblemTaskset(vf.Taskset[ProblemTask, ProblemTasksetConfig]):
    """The problems of a set of mars2_env."""

    def load(self) -> Iterable[ProblemTask]:
        """Yield one task for each problem."""
        for problem in problems(self.config):
            data = ProblemData(id=problem.id, name=problem.id, problem=problem.id, prompt=problem.statement)
            yield ProblemTask(data, self.config.task)


def problems(config: ProblemTasksetConfig) -> mars2_env.ProblemSet:
    """Return the problem set that a configuration names.

    Raises:
        ConfigError, ProblemError: as of `mars2_env.load_problems`.
    """
    return mars2_env.load_problems(config.problems, path=config.path, split=config.split, limit=config.limit)


class OneReplyConfig(vf.HarnessConfig):
    """Nothing to set."""


class OneReply(vf.Harness[OneReplyConfig]):
    """One chat completion: what an agent of a tree is asked for. No tools, no program in a runtime."""

    APPENDS_SYSTEM_PROMPT = True
    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self,
        ctx: vf.ModelContext,
        trace: vf.Trace,
        runtime: vf.Runtime,
        endpoint: str,
        secret: str,
        mcp_urls: dict[str, str],
        data: vf.TaskData,
        tool_interception_url: str | None = None,
    ) -> vf.ProgramResult:
        """Ask the model once, through the endpoint on which verifiers records the exchange."""
        system, prompt = self.resolve_text_prompt(data)
        messages: Any = [{"role": "system", "content": system}] if system else []
        async with AsyncOpenAI(base_url=endpoint, api_key=secret, max_retries=0) as client:
            await client.chat.completions.create(
                model=ctx.model, messages=[*messages, {"role": "user", "content": prompt or ""}]
            )
        return vf.ProgramResult(exit_code=0, stdout="", stderr="")


class TreeEnvConfig(vf.EnvConfig):
    """Two agents, a budget and what is paid; a subclass with more `AgentConfig` fields has more agents."""

    coder: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())
    fixer: vf.AgentConfig = vf.AgentConfig(runtime=vf.SubprocessConfig())
    budget: int = 8
    """How many programs a tree may hold."""
    selector: str = "ab_mcts_a"
    """Who writes next and what is refined, as in `mars2_env.task`."""
    score: Literal["pass", "fraction"] = "fraction"
    """Whether a program must pass all tests to score."""
    reward: Literal["progress", "score", "difference"] = "progress"
    """What a trace is paid: the rise of the best score, its own score, or what the tree's best score owes its agent."""
    share: Literal["own", "team"] = "own"
    """Whether the agent that wrote is paid, or every agent."""
    sandbox: str = "auto"
    """Where programs run: docker, bubblewrap or auto."""
    seed: int = 0
    """Of the trees; the n-th episode of a problem has seed + n."""


class TreeEnv(vf.Env[TreeEnvConfig]):
    """One episode is one tree: a trace for each program, in the order in which they were written."""

    def __init__(self, config: TreeEnvConfig) -> None:
        """Load the problems; the sandbox starts with the first episode."""
        super().__init__(config)
        self._task = mars2_env.task(
            problems(self.taskset.config),
            game="write",
            agents=list(self._agent_specs),
            budget=config.budget,
            selector=config.selector,
            score=config.score,
            reward=config.reward,
            share=config.share,
            sandbox=config.sandbox,
        )
        self._roles = dict(zip(self._task.agents, self._agent_specs, strict=True))
        self._begun: Counter[str] = Counter()

    async def run(self, task: ProblemTask, agents: vf.Agents) -> None:
        """Grow one tree.

        Raises:
            SandboxError: a program could not be judged; an episode is then no result, and never a zero.
        """
        problem = task.data.problem
        seed = self.config.seed + self._begun[problem]
        self._begun[problem] += 1
        env: Any = mars2_env.make(self._task)
        env.reset(seed=seed, options={"problem": problem})
        latest: dict[str, vf.Trace] = {}
        earned: Counter[str] = Counter()
        while env.agents and not (env.terminations[env.agent_selection] or env.truncations[env.agent_selection]):
            agent = env.agent_selection
            prompt = str(env.observe(agent)["prompt"])
            trace = await getattr(agents, self._roles[agent]).run(task.with_data(prompt=prompt))
            # Judging waits for the sandbox: on a thread, so that other episodes go on.
            await asyncio.to_thread(env.step, {"program": trace.last_reply})
            if "fault" in env.infos[agent]:
                raise SandboxError(f"{problem}: {env.infos[agent]['fault']}")
            trace.info["node"] = len(env.episode.nodes)
            trace.record_metric("score", float(env.episode.nodes[-1].score))
            latest[agent] = trace
            trace.record_reward(self.config.reward, 0.0)
            # Credit may come to an agent that did not act: it goes to its latest program, or waits for its first.
            for name, paid in env.rewards.items():
                earned[name] += paid
            for name, of_agent in latest.items():
                before = of_agent.rewards[self.config.reward].score
                of_agent.record_reward(self.config.reward, before + earned.pop(name, 0.0))

    async def finalize(self, task: ProblemTask, episode: vf.Episode) -> None:
        """Say on every trace what the whole tree came to."""
        best = max((trace.metrics.get("score") or 0.0 for trace in episode.traces), default=0.0)
        for trace in episode.traces:
            trace.record_metric("best_score", best)
