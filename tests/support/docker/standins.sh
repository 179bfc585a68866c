#!/usr/bin/env bash
# Builds images that stand in for python:3.11-slim and apache/kafka:4.3.1 where no image can be pulled, from Debian's packages
# and the real Kafka's jars, in the real images' layout and under their names: the project's own Dockerfile, docker-compose.yml
# and tests run on them unchanged. Where a real image of one of these names is present it changes nothing.
#   standins.sh WORK_DIR       (root, an engine answers, callverdict is installed in .venv)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "${1:?usage: standins.sh WORK_DIR}"
work=$(cd "$1" && pwd)
export DOCKER_BUILDKIT=0 # the old builder needs no plugin

label() { # of an image: yes for a stand-in, empty for a real one, absent
  if docker image inspect "$1" >/dev/null 2>&1; then
    docker image inspect --format '{{index .Config.Labels "stand-in"}}' "$1"
  else
    echo absent
  fi
}

for image in python:3.11-slim apache/kafka:4.3.1; do
  case $(label "$image") in
    yes | absent) ;;
    *) echo "$image is the real one: nothing to build"; exit 0 ;;
  esac
done

build_base() { # Debian with Python 3.11 and a Java, once for both
  if [ "$(label callverdict-stand-in/base)" = yes ]; then return; fi
  local packages=ca-certificates,curl,procps,python3,python3-pip,python3-venv,openjdk-17-jre-headless
  rm -rf "$work/rootfs"
  debootstrap --variant=minbase --include="$packages" bookworm "$work/rootfs" >"$work/debootstrap.log" 2>&1 || {
    tail -20 "$work/debootstrap.log"
    exit 1
  }
  rm -rf "$work"/rootfs/var/cache/apt/* "$work"/rootfs/var/lib/apt/lists/* "$work"/rootfs/usr/share/{doc,man,locale,info}/*
  tar -C "$work/rootfs" -c . | docker import --change 'LABEL stand-in=yes' - callverdict-stand-in/base
  rm -rf "$work/rootfs"
}

build_python() { # with this machine's certificates, so that pip works inside as it does outside
  rm -rf "$work/python"
  cp -r "$here/python" "$work/python"
  cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$work/python/ca.crt"
  docker build --quiet --network none --tag python:3.11-slim "$work/python"
}

build_kafka() {
  rm -rf "$work/kafka"
  cp -r "$here/kafka" "$work/kafka"
  mkdir "$work/kafka/libs"
  (cd "$root" && .venv/bin/python -c 'from pipeline.workbench.runtime import kafka_jars; print(*kafka_jars(), sep="\n")') \
    | xargs -I JAR cp JAR "$work/kafka/libs/"
  docker build --quiet --network none --tag apache/kafka:4.3.1 "$work/kafka"
}

build_base
build_python
build_kafka
