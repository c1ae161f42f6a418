"""Credit for finished trees: who gets how much for which node. numpy alone, useful without the rest.

A tree is told in arrays, node by node in the order of expansion: `parents[i]` is the number of the parent of node
i + 1, 0 being the root, and `rewards[i]` its raw reward. Every function is pure, and returns a new float64 array.
`tree_shaping`, `overlong_penalty` and `advantages`, in this order, are the credit of MARS2. `samples` gives learners
the tokens of logged trees with it, `write_samples` writes them into a file. The others are what it is compared with,
each after the paper that its docstring names, and `Credit` takes any of them by name, or a function of a tree.
`docs/training.md` shows them side by side.
"""

from mars2_env.credit.advantages import ESTIMATORS, SCOPES, Estimator, Scope, advantages, rae, scope_groups
from mars2_env.credit.collaborative import agent_difference, node_difference, shapley, shared_solutions, team_returns
from mars2_env.credit.estimates import pass_at_k, pkpo
from mars2_env.credit.export import COLUMNS, Exported, write_samples
from mars2_env.credit.named import CREDITS, NodeCredit, RunningBaselines, node_credit, told
from mars2_env.credit.samples import Credit, Sample, Samples, samples
from mars2_env.credit.shaping import overlong_penalty, tree_shaping
from mars2_env.credit.values import c3, tree_rl, tree_rpo, tree_values

__all__ = [
    "COLUMNS",
    "CREDITS",
    "ESTIMATORS",
    "SCOPES",
    "Credit",
    "Estimator",
    "Exported",
    "NodeCredit",
    "RunningBaselines",
    "Sample",
    "Samples",
    "Scope",
    "advantages",
    "agent_difference",
    "c3",
    "node_credit",
    "node_difference",
    "overlong_penalty",
    "pass_at_k",
    "pkpo",
    "rae",
    "samples",
    "scope_groups",
    "shapley",
    "shared_solutions",
    "team_returns",
    "told",
    "tree_rl",
    "tree_rpo",
    "tree_shaping",
    "tree_values",
    "write_samples",
]
