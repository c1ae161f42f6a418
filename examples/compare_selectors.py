"""Two selectors on the same problems with the same luck: AB-MCTS-A against repeated sampling.

Draws are keyed by the choice they belong to, so both searches meet the same sample where they make the same choice. The
agents are simulated (`noise:...`); give `hf:smollm2` instead to use a real language model.
"""

import mars2_env


def main() -> None:
    """Print Pass@1(MCTS) and Pass@N of both."""
    for selector in ("ab_mcts_a", "repeated_sampling"):
        task = mars2_env.task("starter", split="test", selector=selector, budget=8)
        trees = list(mars2_env.rollout(task, "noise:weak", limit=12))
        results = mars2_env.evaluate(trees, problems=task.problems)
        low, high = results.interval(results.pass_at_n)
        print(
            f"{selector}: Pass@1(MCTS) {results.pass_at_1_mcts:.2f}, "
            f"Pass@N {results.pass_at_n:.2f} (95 % interval {low:.2f} to {high:.2f}), {len(trees)} trees"
        )


if __name__ == "__main__":
    main()
