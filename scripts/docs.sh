#!/usr/bin/env bash
# Builds the site into build/docs/site (open index.html there; it needs no server). Warnings, dead links among them, are
# errors. What builds it is installed into .venv-docs first, at the versions of constraints-docs.txt; the build itself
# uses no network.
#
#   scripts/docs.sh                        build/docs
#   scripts/docs.sh FOLDER                 another folder
#   PYTHON=python3.12 scripts/docs.sh      another interpreter for .venv-docs
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-build/docs}
venv=.venv-docs
done_mark=$venv/.installed

fail() {
    echo "docs: $*" >&2
    exit 1
}

if command -v flock >/dev/null 2>&1; then
    exec 9>.venv-docs.lock
    flock 9
fi
wanted="$PWD $(cat pyproject.toml constraints.txt constraints-docs.txt | cksum)"
if [ "$(cat "$done_mark" 2>/dev/null)" != "$wanted" ] || ! "$venv/bin/python" -c "" 2>/dev/null; then
    echo "docs: installing mars2-env[docs] into $venv"
    "${PYTHON:-python3}" -m venv --clear "$venv" \
        || fail "${PYTHON:-python3} cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --constraint constraints.txt \
        --constraint constraints-docs.txt --editable ".[docs]" \
        || fail "the installation failed; the lines above say why. Once mended, run the same command again."
    echo "$wanted" >"$done_mark"
fi

begin=$SECONDS
mkdir -p "$out"
PYTHONPATH=scripts "$venv/bin/python" -m docs_site "$out"
"$venv/bin/zensical" build --clean --strict --config-file "$out/zensical.toml" \
    || fail "the site has the faults that the lines above name."
echo "docs: $(find "$out/site" -name '*.html' | wc -l) pages in $((SECONDS - begin)) s: $out/site/index.html"
