#!/usr/bin/env bash
# Tests this project inside the real libraries that use it, each in a virtual environment of its own, since their pins
# clash: .consumers/NAME, made from tests/consumers/NAME.txt. Does not install again what is there already.
#
#   scripts/consumers.sh               every consumer, one after the other
#   scripts/consumers.sh trl openenv   only these
#   PYTEST_ARGS="-k learns" scripts/consumers.sh sb3
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

known=()
for file in tests/consumers/*.txt; do
    known+=("$(basename "$file" .txt)")
done
[ $# -gt 0 ] || set -- "${known[@]}"
python=${PYTHON:-.venv/bin/python}
[ -x "$(command -v "$python")" ] || {
    echo "consumers: no $python; run 'make venv' first, or set PYTHON." >&2
    exit 1
}

failed=()
for name in "$@"; do
    requirements=tests/consumers/$name.txt
    if [ ! -f "$requirements" ]; then
        echo "consumers: unknown consumer '$name'; known: ${known[*]}" >&2
        exit 2
    fi
    venv=.consumers/$name
    wanted="$PWD $(cat "$requirements" pyproject.toml | cksum)"
    if [ "$(cat "$venv/.installed" 2>/dev/null)" != "$wanted" ]; then
        echo "consumers: installing $name into $venv"
        "$python" -m venv --clear "$venv"
        if ! "$venv/bin/python" -m pip install -qq --disable-pip-version-check -r "$requirements" \
            "hypothesis>=6.100" "pytest>=8.3" "pytest-timeout>=2.3" --editable .; then
            echo "consumers: $name does not install; the lines above say why." >&2
            failed+=("$name")
            continue
        fi
        echo "$wanted" >"$venv/.installed"
    fi
    echo "consumers: testing inside $name"
    # shellcheck disable=SC2086  # PYTEST_ARGS is several words
    "$venv/bin/python" -m pytest -q -m consumer -p no:cacheprovider ${PYTEST_ARGS:-} \
        "tests/consumers/test_consumer_$name.py" </dev/null || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "consumers: failed: ${failed[*]}" >&2
    exit 1
fi
