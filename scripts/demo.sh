#!/usr/bin/env bash
# The demo: two agents, both SmolLM2-135M at different temperatures, grow one search tree for each of a few HumanEval
# problems; Docker runs their programs. The hidden tests are opened afterwards. A second run finds the finished trees.
#
#   scripts/demo.sh [RUN_FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PATH"
out=${1:-runs/demo}

set -x
mars2 search humaneval --limit 8 --agent coder=hf:smollm2 --agent fixer=hf:smollm2,temperature=1.0 --budget 4 --out "$out"
mars2 evaluate "$out"
