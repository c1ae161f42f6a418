"""A policy of your own: anything with `act(turns) -> replies`.

This one asks nobody: it writes the starter code with a guessed return statement, and on a refinement turn reads the
feedback on the parent and returns what the failing public test expected. It solves what is quoted and nothing that is
hidden, which is why the last line matters.
"""

import mars2_env


class Memoriser:
    """Answers with what the feedback said was expected."""

    def act(self, turns: list[mars2_env.Turn]) -> list[mars2_env.Reply]:
        """Return one reply for each turn, in order."""
        return [mars2_env.Reply(f"```python\n{self.program(turn)}\n```") for turn in turns]

    def program(self, turn: mars2_env.Turn) -> str:
        """Return a function or a program that knows one answer."""
        answer = turn.feedback.expected if turn.feedback else "None"
        if isinstance(turn.problem.interface, mars2_env.Call):
            return f"def {turn.problem.interface.name}(*arguments):\n    return {answer or None}"
        return f"print({answer!r})"


if __name__ == "__main__":
    task = mars2_env.task("starter", agents=["coder", "memoriser"], budget=8)
    team = {"coder_0": "noise:default", "memoriser_0": Memoriser()}
    trees = list(mars2_env.rollout(task, team, limit=4))
    for tree in trees:
        writers = sorted({node.agent for node in tree.nodes if node.score == 1.0})
        print(f"{tree.problem}: best score {tree.best_score:g}, solved by {', '.join(writers) or 'nobody'}")
    results = mars2_env.evaluate(trees, problems=task.problems)
    print(f"Pass@1(MCTS) on hidden tests: {results.pass_at_1_mcts:.2f}")
