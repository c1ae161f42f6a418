"""The `play` game through PettingZoo's Parallel API: agents choose the node to refine as well as the program.

The agents here are simulated (`noise:...`): they write the problems' reference programs with slips.
"""

import mars2_env
from mars2_env.tasks.policies import make_policy


def main() -> None:
    """Play one episode and show the tree."""
    env = mars2_env.make("mars2/StarterPlay-v0", api="parallel", agents=3, budget=9, render_mode="ansi")
    policy = make_policy("noise:default", problems=env.task.problems)
    env.reset(seed=0)
    while env.agents:
        replies = policy.act(list(env.turns.values()))
        actions = {
            agent: {"parent": reply.parent, "program": reply.text}
            for agent, reply in zip(env.turns, replies, strict=True)
        }
        _, rewards, _, _, infos = env.step(actions)
        for agent, reward in rewards.items():
            print(f"{agent}: node {infos[agent]['node']} {infos[agent]['outcome']}, reward {reward:g}")
    print(env.render())
    env.close()


if __name__ == "__main__":
    main()
