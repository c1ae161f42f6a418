#!/usr/bin/env bash
# The demo: two agents, both SmolLM2-135M at different temperatures, grow one search tree for each of eight HumanEval
# problems; Docker runs their programs. The hidden tests are opened afterwards, and one tree is shown with its programs.
# A second run finds the finished trees.
# The problems are short ones, which a model of this size has a chance with: on most of HumanEval it has none.
#
#   scripts/demo.sh [RUN_FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/demo}

problems=()
for number in 23 29 34 35 42 49 52 53; do
    problems+=(--problem "HumanEval/$number")
done

set -x
mars2 search humaneval "${problems[@]}" --budget 4 --out "$out" \
    --agent coder=hf:smollm2,max_new_tokens=256 --agent fixer=hf:smollm2,max_new_tokens=256,temperature=1.0
mars2 evaluate "$out" --verbose
mars2 show "$out" --hidden
mars2 show "$out" HumanEval/53 --all --hidden --no-pager
