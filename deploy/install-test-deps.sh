#!/usr/bin/env bash
# Installs what the tests need beside Go: a C compiler (the race detector), Node
# with npm (the engine library), redis-server, PostgreSQL (River's tests),
# prometheus-alertmanager (alerts are forwarded to it), Celery and Sidekiq (their
# examples); with the argument chromium,
# the browser of the UI's tests too. On Debian and its kin the
# missing packages are installed where this user may; elsewhere, and where the user
# may not, it says what is missing and stops.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v npm >/dev/null || missing+=(nodejs npm)
command -v redis-server >/dev/null || missing+=(redis-server)
# Debian keeps the server's programs out of PATH.
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
# Debian's Python has Debian's packages; the first of PATH may be another.
python3 -c 'import celery, redis' 2>/dev/null || /usr/bin/python3 -c 'import celery, redis' 2>/dev/null || missing+=(python3-celery python3-redis)
command -v sidekiq >/dev/null || missing+=(ruby-sidekiq)
[ "${1:-}" = chromium ] && ! command -v chromium >/dev/null && missing+=(chromium)
[ ${#missing[@]} -eq 0 ] && exit 0

say() {
  echo "make: the tests need ${missing[*]}: install them (Debian: apt-get install ${missing[*]}) and run make again" >&2
  exit 1
}
command -v apt-get >/dev/null || say
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null && sudo -n true 2>/dev/null || say
  sudo=(sudo -n)
fi
export DEBIAN_FRONTEND=noninteractive
# The packages start their servers on the standard ports; the tests start their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
  "${sudo[@]}" chmod +x "$policy"
  trap '"${sudo[@]}" rm -f "$policy"' EXIT
fi
"${sudo[@]}" apt-get update -qq || say
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || say
