#!/usr/bin/env bash
# Sees to bubblewrap, the other sandbox: installs it on Debian and Ubuntu as root; elsewhere names the command and goes
# on, since its tests are skipped where it is missing.
set -euo pipefail

say() { echo "bubblewrap: $*" >&2; }

if command -v bwrap >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || [ ! -f /etc/debian_version ]; then
    say "not installed, so its tests are skipped. Install it with the package manager: the package is called bubblewrap."
    exit 0
fi

# Two makes at once must not install it twice; the second one finds the first one's.
exec 9>/run/mars2-bubblewrap.lock
flock 9
if command -v bwrap >/dev/null 2>&1; then exit 0; fi
log=/var/log/mars2-bubblewrap.log
say "installing bubblewrap with apt-get (log: $log)"
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends bubblewrap; } >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    say "apt-get could not install it, so its tests are skipped."
fi
