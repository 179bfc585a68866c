#!/usr/bin/env bash
# Gives the Docker tests an engine where none answers (Debian, root):
#   eval "$(tests/support/docker/engine.sh start DIR)"   starts one that keeps everything in DIR, builds stand-in images, exports DOCKER_HOST
#   tests/support/docker/engine.sh stop DIR              ends that engine, by its process id
# An engine that is there already is better: then none of this is needed, and nothing here touches it.
# The compose that Debian brings is v1 (1.29): docker-compose.yml must work with both.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${2:?usage: engine.sh start|stop DIR}
packages=(docker.io docker-compose debootstrap iptables)

say() { echo "engine.sh: $*" >&2; }

install_engine() {
  if command -v dockerd >/dev/null && command -v docker-compose >/dev/null && command -v debootstrap >/dev/null; then return; fi
  if [ "$(id -u)" != 0 ]; then say "no Docker engine answers and only root can install one"; exit 1; fi
  if ! command -v apt-get >/dev/null; then say "no Docker engine answers and this is no Debian: install and start one"; exit 1; fi
  say "installing ${packages[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >"$dir/apt.log" 2>&1 || {
    tail -5 "$dir/apt.log" >&2
    say "apt-get could not install ${packages[*]}"
    exit 1
  }
}

start_engine() {
  if docker info >/dev/null 2>&1; then return; fi
  nohup dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" --host "$DOCKER_HOST" >"$dir/dockerd.log" 2>&1 &
  for _ in $(seq 120); do
    if docker info >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  tail -3 "$dir/dockerd.log" >&2
  say "dockerd does not start here; its log is $dir/dockerd.log"
  exit 1
}

start() {
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  export DOCKER_HOST=unix://$dir/docker.sock
  install_engine
  start_engine
  "$here/standins.sh" "$dir/standins" >"$dir/standins.log" 2>&1 || {
    tail -20 "$dir/standins.log" >&2
    say "the stand-in images could not be built"
    stop
    exit 1
  }
  # ryuk would be one more image to pull; containers are ended by the tests themselves
  echo "export DOCKER_HOST=$DOCKER_HOST TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_CONNECTION_MODE=docker_host"
}

stop() {
  if [ ! -f "$dir/dockerd.pid" ]; then return; fi
  local pid
  pid=$(cat "$dir/dockerd.pid")
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    if ! kill -0 "$pid" 2>/dev/null; then return; fi
    sleep 0.2
  done
  say "dockerd ($pid) is still ending"
}

case ${1:-} in
  start) start ;;
  stop) stop ;;
  *) say "usage: engine.sh start|stop DIR"; exit 2 ;;
esac
