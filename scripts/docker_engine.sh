#!/usr/bin/env bash
# Sees to a Docker engine. A running one (DOCKER_HOST is respected) is used as it is. Where there is none, on Debian or
# Ubuntu as root, docker.io is installed and dockerd started, without an init system too; elsewhere one command is named.
#
# Exit status 0: an engine answers at the address that the Docker SDK for Python takes from the environment.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
log=/var/log/mars2-docker.log
start_seconds=60

say() { echo "docker: $*" >&2; }

fail() {
    say "$@"
    exit 1
}

# Asks as the sandbox does, by the Docker SDK: what the `docker` command reaches by a context is no use to it.
answers() {
    "$python" - 2>/dev/null <<'PYTHON'
import docker

docker.from_env(timeout=5).ping()
PYTHON
}

# Other systems, or no root: say what to run, and that is all.
name_the_command() {
    local endpoint
    if command -v docker >/dev/null 2>&1; then
        endpoint=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)
        if [ -n "$endpoint" ] && docker version >/dev/null 2>&1; then
            fail "the engine of your docker context answers, but DOCKER_HOST does not name it. Run: export DOCKER_HOST=$endpoint"
        fi
    fi
    if [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
        fail "an engine is there, but $(id -un) may not use it. Run: sudo usermod -aG docker $(id -un) (then log in again)"
    fi
    case "$(uname -s)" in
        Darwin) fail "no Docker engine answers. Install and start one: brew install --cask docker && open -a Docker" ;;
    esac
    if [ -f /etc/debian_version ]; then
        fail "no Docker engine answers. Run: sudo scripts/docker_engine.sh (installs docker.io and starts dockerd)"
    elif command -v dnf >/dev/null 2>&1; then
        fail "no Docker engine answers. Run: sudo dnf install -y moby-engine && sudo systemctl enable --now docker"
    fi
    fail "no Docker engine answers. Install and start one as https://docs.docker.com/engine/install/ says."
}

wait_until_it_answers() {
    local deadline=$((SECONDS + $1)) pid=${2:-}
    while [ "$SECONDS" -lt "$deadline" ]; do
        if answers; then return 0; fi
        if [ -n "$pid" ] && ! kill -0 "$pid" 2>/dev/null; then return 1; fi
        sleep 0.5
    done
    return 1
}

install_engine() {
    say "no Docker engine is installed: installing docker.io with apt-get (log: $log)"
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install -y --no-install-recommends docker.io; } >"$log" 2>&1 </dev/null; then
        tail -n 15 "$log" >&2
        fail "apt-get could not install docker.io; the lines above say why."
    fi
}

start_engine() {
    if [ -d /run/systemd/system ]; then
        say "starting the docker service"
        systemctl start docker >&2 || true
        wait_until_it_answers "$start_seconds" || fail "the docker service does not answer; see: journalctl -u docker"
        return
    fi
    say "starting dockerd (log: $log)"
    # A session and descriptors of its own: it outlives this script, and holds neither its lock nor its output open.
    setsid dockerd >"$log" 2>&1 </dev/null 9>&- &
    if ! wait_until_it_answers "$start_seconds" $!; then
        say "dockerd has ended, or does not answer after $start_seconds s. The end of $log:"
        tail -n 15 "$log" >&2
        fail "start an engine that answers at DOCKER_HOST or /var/run/docker.sock, then run the same command again."
    fi
}

[ -x "$python" ] || fail "$python is missing; run scripts/venv.sh first."
if answers; then exit 0; fi
if [ -n "${DOCKER_HOST:-}" ]; then
    fail "DOCKER_HOST=$DOCKER_HOST does not answer. Start that engine, or run: unset DOCKER_HOST"
fi
if [ "$(id -u)" -ne 0 ] || [ ! -f /etc/debian_version ]; then name_the_command; fi

# Two makes at once must not install or start two engines; the second one finds the first one's.
exec 9>/run/mars2-docker-engine.lock
flock 9
if answers; then exit 0; fi
if ! command -v dockerd >/dev/null 2>&1; then
    install_engine
    # Where there is an init system the package starts the engine itself.
    if wait_until_it_answers 3; then exit 0; fi
fi
start_engine
