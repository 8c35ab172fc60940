# shellcheck shell=bash
# Shared by the commands under tools/: progress, failure with a next step, Debian packages, waiting.
# Source it first:   . "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# Everything here speaks on standard error, so that standard output stays for results.

# Exit codes of all commands under tools/.
# (The commands that source this file use them; shellcheck sees one file at a time.)
# shellcheck disable=SC2034
readonly EXIT_FAILED=1 EXIT_USAGE=2 EXIT_MISSING=3 EXIT_DEADLINE=4

# say MESSAGE: one line of progress.
say() { printf '==> %s\n' "$*" >&2; }

# note MESSAGE: a detail under the last line of progress.
note() { printf '    %s\n' "$*" >&2; }

# warn MESSAGE: something the reader should know, though the command goes on.
warn() { printf 'warning: %s\n' "$*" >&2; }

# die CODE MESSAGE NEXT_STEP: says what failed and what to do about it, and ends the command with CODE.
die() {
  printf 'error: %s\n' "$2" >&2
  [ -z "${3:-}" ] || printf ' next: %s\n' "$3" >&2
  exit "$1"
}

# usage_error MESSAGE: a wrong argument; names the command's --help.
usage_error() { die "$EXIT_USAGE" "$1" "run '$0 --help'"; }

# print_help FILE: prints the comment block at the head of a command, which is its --help.
print_help() { awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$1"; }

# require_count OPTION VALUE: VALUE must be a whole number from 1 to 999999999.
require_count() {
  [[ $2 =~ ^[1-9][0-9]{0,8}$ ]] || usage_error "$1 takes a whole number from 1 on, not '$2'"
}

# stave_cache: the folder for what can be made again (guests, downloaded packages).
stave_cache() {
  local base=${XDG_CACHE_HOME:-${HOME:-}/.cache}
  [ "$base" != "/.cache" ] || die "$EXIT_MISSING" "neither XDG_CACHE_HOME nor HOME is set" "set one, or name a folder with --state"
  printf '%s/stave\n' "$base"
}

# step LOG DOING COMMAND...: runs COMMAND with its output in LOG and shows that time passes.
# Returns the command's status; after a failure the end of LOG is shown.
step() {
  local log=$1 doing=$2 started=$SECONDS shown=$SECONDS status=0 pid
  shift 2
  say "$doing"
  "$@" </dev/null >>"$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    if ((SECONDS - shown >= 5)); then
      shown=$SECONDS
      note "still at it after $((SECONDS - started)) s"
    fi
  done
  wait "$pid" || status=$?
  if ((status != 0)); then
    note "failed with status $status; the end of $log:"
    tail -n 12 "$log" | sed 's/^/    | /' >&2
  fi
  return "$status"
}

# wait_until SECONDS COMMAND...: tries COMMAND until it succeeds, every WAIT_STEP seconds (0.1 unless set); fails when the time is
# over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep "${WAIT_STEP:-0.1}"
  done
}

# package_installed NAME
package_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# as_root COMMAND...: directly for root, else through sudo (which may not ask: there is no one to answer).
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    command -v sudo >/dev/null || die "$EXIT_MISSING" "'$1' needs root and there is no sudo" "run this command as root"
    sudo -n "$@" || return
  fi
}

# refresh_package_lists LOG: apt-get update when the lists are older than a day or absent.
refresh_package_lists() {
  local fresh
  fresh=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null || true)
  [ -z "$fresh" ] || return 0
  step "$1" "Refreshing Debian's package lists" as_root apt-get update \
    || die "$EXIT_MISSING" "apt-get update failed" "read $1; is a Debian mirror reachable?"
}

# need_packages NAME...: installs the Debian packages that are missing, without a question.
need_packages() {
  local missing=() name log
  for name in "$@"; do package_installed "$name" || missing+=("$name"); done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null \
    || die "$EXIT_MISSING" "missing packages: ${missing[*]}" "this is not Debian: install their like by hand"
  log=$(mktemp "${TMPDIR:-/tmp}/stave-apt.XXXXXX")
  refresh_package_lists "$log"
  step "$log" "Installing ${missing[*]}" \
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" \
    || die "$EXIT_MISSING" "apt-get could not install ${missing[*]}" "read $log, or run: apt-get install ${missing[*]}"
  rm -f "$log"
}

# need_quiet_packages NAME...: like need_packages for servers, which must neither start now nor at the next boot:
# a stock NFS server would take the port that the cluster's own gateways need.
need_quiet_packages() {
  local missing=() name unit policy=/usr/sbin/policy-rc.d placed=no
  for name in "$@"; do package_installed "$name" || missing+=("$name"); done
  ((${#missing[@]})) || return 0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n# Placed for the time of one installation by %s.\nexit 101\n' "$0" | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    placed=yes
  fi
  local status=0
  (need_packages "${missing[@]}") || status=$?
  [ "$placed" = no ] || as_root rm -f "$policy"
  ((status == 0)) || exit "$status"
  if [ -d /run/systemd/system ]; then
    for name in "${missing[@]}"; do
      while read -r unit; do
        as_root systemctl disable --now "$unit" >/dev/null 2>&1 || warn "could not disable $unit"
      done < <(dpkg-query -L "$name" | sed -n 's|^/lib/systemd/system/\([^/@]*\.service\)$|\1|p')
    done
  fi
}

# tcp_answers ADDRESS PORT: whether something accepts connections there.
tcp_answers() { timeout 5 bash -c "exec 3<>/dev/tcp/$1/$2" 2>/dev/null; }

# url_server URL: the address in nfs://ADDRESS/... or gluster://ADDRESS/...
url_server() {
  local rest=${1#*://}
  printf '%s\n' "${rest%%/*}"
}

# need_nfs_server ADDRESS: refuses with a next step when no NFS server listens at ADDRESS.
need_nfs_server() {
  [[ $1 =~ ^[A-Za-z0-9._-]+$ ]] || usage_error "'$1' is no IPv4 address or host name"
  tcp_answers "$1" 2049 \
    || die "$EXIT_MISSING" "nothing answers on port 2049 of $1" "start the cluster (tools/up) and look at its gateways (stave status)"
}
